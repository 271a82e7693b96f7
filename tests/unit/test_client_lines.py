"""What a program has in its hands, as the lines that are sent."""

import csv
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tidemill.jobs import opened
from tidemill.lines import ROWS_AT_ONCE
from tidemill.options import texts_of
from tidemill.upload import BLOCK_BYTES


class Person(BaseModel):
    name: str


class Number:
    """As numpy's."""

    def tolist(self) -> int:
        return 7


class NAType:
    """As pandas' NA, of which nothing can be asked."""

    def __bool__(self) -> bool:
        raise TypeError("ambiguous")

    def __eq__(self, other: object) -> bool:
        raise TypeError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


class NaT(datetime):
    """As pandas' NaT."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class PandasFrame:
    """What of a DataFrame of pandas is used."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.columns = list(rows[0])
        self.sizes: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    @property
    def iloc(self) -> "PandasFrame":
        return self

    def __getitem__(self, part: slice) -> "PandasFrame":
        self.sizes.append(len(self.rows[part]))
        return PandasFrame(self.rows[part])

    def to_dict(self, *, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return self.rows


class PolarsFrame(PandasFrame):
    """What of a DataFrame of polars is used."""

    def iter_rows(self, *, named: bool) -> Iterable[dict[str, Any]]:
        assert named
        return iter(self.rows)


def sent(jobs: Any) -> bytes:
    """Return what is sent, and assert that it can be sent again."""
    with opened(jobs, {}) as upload:
        assert upload.headers["content-type"] == "application/x-ndjson"
        first, again = b"".join(upload.blocks()), b"".join(upload.blocks())
    assert first == again
    return first


def test_mappings_lines_and_bytes_are_jobs() -> None:
    jobs = [{"custom_id": "ä"}, '{"custom_id":"b"}\n', b'{"custom_id":"c"}', '{"custom_id":"d"}']
    expected = '{"custom_id":"ä"}\n{"custom_id":"b"}\n{"custom_id":"c"}\n{"custom_id":"d"}\n'
    assert sent(jobs) == expected.encode()
    assert sent(job for job in jobs) == expected.encode()


def test_a_path_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(b'{"custom_id":"a"}\n')
    assert sent(path) == sent(str(path)) == b'{"custom_id":"a"}\n'


def test_many_jobs_are_sent_in_blocks_and_never_held_together() -> None:
    made = 0

    def jobs() -> Iterator[dict[str, str]]:
        nonlocal made
        for number in range(10_000):
            made += 1
            yield {"custom_id": str(number), "prompt": "x" * 100}

    with opened(jobs(), {}) as upload:
        blocks = upload.blocks()
        assert len(next(blocks)) >= BLOCK_BYTES
        assert made < 3000


@pytest.mark.parametrize("frame", [PandasFrame, PolarsFrame])
def test_a_row_of_a_frame_is_a_job_without_what_is_missing(frame: type[PandasFrame]) -> None:
    rows: list[dict[str, Any]] = [
        {"custom_id": "a", "max_tokens": Number(), "seed": math.nan, "when": date(2026, 11, 27)},
        {"custom_id": "b", "max_tokens": None, "seed": NAType(), "when": NaT(2026, 1, 1)},
        {"custom_id": "c", "max_tokens": 5.0, "seed": 0.5, "temperature": 1.0},
    ]
    expected = (
        b'{"custom_id":"a","max_tokens":7,"when":"2026-11-27"}\n{"custom_id":"b"}\n'
        b'{"custom_id":"c","max_tokens":5,"seed":0.5,"temperature":1.0}\n'
    )
    assert sent(frame(rows)) == expected


@pytest.mark.parametrize("frame", [PandasFrame, PolarsFrame])
@pytest.mark.parametrize("option", ["template", "id_column"])
def test_a_frame_with_a_template_or_ids_of_its_own_is_a_sheet(
    frame: type[PandasFrame], option: str
) -> None:
    rows: list[dict[str, Any]] = [
        {"sku;no": 1, "text": 'a "b",\nc', "ok": True, "tags": ["x"], "when": date(2026, 11, 27)},
        {"sku;no": 2, "text": math.nan, "ok": None, "tags": {"a": 1.5}, "when": Decimal("0.10")},
    ]
    with opened(frame(rows), {option: "…", "model": None}) as upload:
        assert upload.headers == {"content-type": "text/csv"}
        first, again = b"".join(upload.blocks()), b"".join(upload.blocks())
    assert first == again
    assert list(csv.reader(first.decode().splitlines(keepends=True))) == [
        ["sku;no", "text", "ok", "tags", "when"],
        ["1", 'a "b",\nc', "true", '["x"]', "2026-11-27"],
        ["2", "", "", '{"a":1.5}', "0.10"],
    ]
    assert first.startswith(b'"sku;no"'), "the header would be split at what it has most of"


def test_a_long_sheet_is_sent_in_blocks_without_a_row_twice() -> None:
    frame = PandasFrame([{"sku": number, "text": "x" * 100} for number in range(10_000)])
    with opened(frame, {"id_column": "sku"}) as upload:
        blocks = list(upload.blocks())
    assert len(blocks) > 3
    rows = list(csv.reader(b"".join(blocks).decode().splitlines()))
    assert [row[0] for row in rows[1:]] == [str(number) for number in range(10_000)]


def test_a_long_frame_of_pandas_is_turned_piece_by_piece() -> None:
    frame = PandasFrame([{"custom_id": str(number)} for number in range(2 * ROWS_AT_ONCE + 1)])
    assert sent(frame).count(b"\n") == 2 * ROWS_AT_ONCE + 1
    assert max(frame.sizes) == ROWS_AT_ONCE


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ({"custom_id": "a"}, "put it in a list"),
        ([5], "got int"),
        ([{"custom_id": object()}], "JSON has no object"),
    ],
)
def test_what_are_no_jobs_is_said(jobs: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words), opened(jobs, {}) as upload:
        list(upload.blocks())


def test_options_become_the_texts_of_a_query() -> None:
    options = {
        "name": "n",
        "max_tokens": 5,
        "temperature": 0.5,
        "repair": False,
        "max_cost_usd": Decimal("0.000001"),
        "glossary": {"mill": "moulin"},
        "schema": Person,
        "system": None,
    }
    texts = texts_of(options)
    schema = texts.pop("schema")
    assert '"name"' in schema
    assert texts == {
        "name": "n",
        "max_tokens": "5",
        "temperature": "0.5",
        "repair": "false",
        "max_cost_usd": "0.000001",
        "glossary": '{"mill":"moulin"}',
    }


def test_a_model_within_a_job_is_its_schema_and_an_instance_its_fields() -> None:
    job = {
        "schema": Person,
        "examples": [Person(name="Ishmael")],
        "at": datetime(1851, 10, 18, tzinfo=UTC),
    }
    line = sent([job])
    assert b'"properties":{"name"' in line
    assert b'"examples":[{"name":"Ishmael"}]' in line
    assert b'"at":"1851-10-18T00:00:00Z"' in line

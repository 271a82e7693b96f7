"""A submission as one JSON document: its items are cut out as they were written."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.intake.json_body import EXAMINED_BYTES, ListForm, ListReader, jobs_of
from jobs.errors import (
    EmptySubmission,
    LineTooLong,
    SubmissionError,
    UnreadableBody,
    WrongFormat,
)
from jobs.lines import MAX_LINE_BYTES

REQUESTS = ListForm("request", may_be_bare=False, expected="a list of requests")

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=9,
)


@given(st.lists(VALUES), st.sampled_from([None, 1]), st.booleans())
def test_every_item_of_the_list_is_a_job_as_it_was_written(
    items: list[object], indent: int | None, in_an_object: bool
) -> None:
    document = {"jobs": items} if in_an_object else items
    found = list(jobs_of(json.dumps(document, indent=indent).encode()))
    assert [json.loads(job) for job in found] == items


@given(st.lists(VALUES), st.sampled_from([None, 1]), st.integers(1, 9))
def test_items_are_the_same_however_a_body_arrives(
    items: list[object], indent: int | None, block_bytes: int
) -> None:
    body = json.dumps({"requests": items}, indent=indent, ensure_ascii=False).encode()
    reader = ListReader(REQUESTS)
    found: list[bytes] = []
    for start in range(0, len(body), block_bytes):
        found += reader.take(body[start : start + block_bytes])
    reader.end()
    assert [json.loads(item) for item in found] == items


@given(
    st.text('[]{}",\\: \n1a').map(lambda text: f'{{"requests":[{text}'.encode()), st.integers(1, 9)
)
def test_what_is_wrong_with_a_body_is_the_same_however_it_arrives(
    body: bytes, block_bytes: int
) -> None:
    assert _refusal(body, block_bytes) == _refusal(body, len(body))


def _refusal(body: bytes, block_bytes: int) -> str:
    reader = ListReader(REQUESTS)
    try:
        for start in range(0, len(body), block_bytes):
            list(reader.take(body[start : start + block_bytes]))
        reader.end()
    except SubmissionError as error:
        return error.message
    return ""


def test_of_a_body_no_more_is_held_than_the_item_that_arrives() -> None:
    reader = ListReader(REQUESTS)
    assert list(reader.take(b' {"requests": [')) == []
    for _ in range(3):
        assert list(reader.take(b'{"a":"' + b"x" * 1000)) == []
        assert len(reader._text) < 1100
        assert list(reader.take(b'"},')) == [b'{"a":"' + b"x" * 1000 + b'"}']
    with pytest.raises(LineTooLong, match="request 4 is longer"):
        list(reader.take(b'"' + b"x" * MAX_LINE_BYTES))


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [
        (b"{", 1, 2),
        (b"[", 1, 2),
        (b'{"jobs":[1', 1, 11),
        (b'{"jobs":[1]', 1, 12),
        (b'{"jobs":[\n1,\n', 3, 1),
        (b'{"jobs":[1,]}', 1, 12),
        (b"[,1]", 1, 2),
        (b"[1}", 1, 4),
        (b"[1]]", 1, 4),
        (b"[1] x", 1, 4),
        (b'{"jobs":[1],"more":2}', 1, 12),
        (b'["never ends\\', 1, 14),
        (b"nope", 1, 1),
    ],
)
def test_a_body_that_is_no_json_is_told_where_it_stops_being(
    body: bytes, line: int, column: int
) -> None:
    with pytest.raises(UnreadableBody) as raised:
        list(jobs_of(body))
    error = raised.value
    assert (error.code, error.line, error.column) == ("invalid_json", line, column)


@pytest.mark.parametrize(
    "body", [b'"x"', b"5", b'{"batch":[]}', b'{"jobs":5}', b'{"custom_id":"a"}', b"{}\n{}\n"]
)
def test_json_that_is_no_submission_is_told_what_one_is(body: bytes) -> None:
    with pytest.raises(WrongFormat, match="x-ndjson"):
        list(jobs_of(body))


def test_nothing_at_all_is_an_empty_submission() -> None:
    with pytest.raises(EmptySubmission):
        list(jobs_of(b" \n"))


@pytest.mark.parametrize(
    "body",
    [
        b'["' + b'\\"' * 500_000,
        b'["' + b"\\" * 1_000_000,
        b'["' * 500_000,
        b"[" * 1_000_000,
        b" " * 1_000_000,
        b"{" + b" " * 1_000_000,
    ],
)
def test_a_hostile_body_takes_time_in_proportion(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(SubmissionError):
        list(jobs_of(body))
    assert time.process_time() - began < 5.0


@given(st.binary(max_size=60) | st.text('[]{}",\\:1 \n').map(str.encode))
def test_no_bytes_at_all_break_it(body: bytes) -> None:
    with suppress(SubmissionError):
        assert all(job.strip() for job in jobs_of(body))


def test_a_body_is_not_called_badly_encoded_where_its_examination_is_cut_off() -> None:
    body = b'{"a":"' + b"x" * (EXAMINED_BYTES - 7) + "é".encode() + b'"}'
    with pytest.raises(WrongFormat):
        list(jobs_of(body))

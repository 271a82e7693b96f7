"""CSV as rows: whatever a spreadsheet writes comes back, and what is ambiguous is refused by its line."""

import csv
import io
from contextlib import suppress
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.defaults import JobDefaults
from jobs.errors import InvalidColumns, LineFault, LineTooLong, SubmissionError, UnreadableBody
from jobs.lines import MAX_LINE_BYTES
from jobs.sheets.csv_rows import CsvRows
from jobs.sheets.rows import Row, SheetRows

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def rows_of(
    body: bytes, *, block: int = 1 << 20, delimiter: str | None = None, **query: str
) -> list[Row]:
    defaults = JobDefaults.from_query(query)
    reader = CsvRows(lambda columns: SheetRows(columns, defaults), delimiter)
    rows = []
    for at in range(0, len(body), block):
        rows += reader.take(body[at : at + block])
    return rows + reader.take(b"", is_last=True)


def lines_of(rows: list[Row]) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for _, line in rows if isinstance(line, bytes) and line]


@given(
    table=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    # Python's writer quotes no line end but its own, unless it quotes everything.
    style=st.sampled_from(
        [
            ("\r\n", csv.QUOTE_MINIMAL),
            *((end, csv.QUOTE_ALL) for end in ("\r\n", "\n", "\r")),
        ]
    ),
    mark=st.sampled_from(["", "\ufeff"]),
    block=st.integers(1, 40),
)
def test_what_was_written_comes_back_in_blocks_of_any_size(
    table: list[list[str]], delimiter: str, style: tuple[str, Literal[0, 1]], mark: str, block: int
) -> None:
    text = io.StringIO(newline="")
    end, quoting = style
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["prompt", "Größe", "c"])
    writer.writerows(table)
    found = lines_of(rows_of((mark + text.getvalue()).encode(), block=block))
    expected = [
        {"custom_id": str(number)}
        | ({"prompt": row[0]} if row[0] else {})
        | ({"metadata": rest} if (rest := _present(row)) else {})
        for number, row in enumerate(filter(any, table), start=1)
    ]
    assert found == expected


def _present(row: list[str]) -> dict[str, str]:
    return {name: cell for name, cell in zip(("Größe", "c"), row[1:], strict=True) if cell}


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_rows_or_are_refused(body: bytes, block: int) -> None:
    with suppress(SubmissionError):
        rows_of(b"prompt,a\n" + body, block=block)
    with suppress(SubmissionError):
        rows_of(body, block=block, template="{{ a }}")


@pytest.mark.parametrize(
    ("body", "line", "code"),
    [
        (b'prompt,a\n1,2\n3,"x"y\n', 3, "invalid_csv"),
        (b'prompt,a\n1,"2\n3\n4\n', 2, "invalid_csv"),
        (b"prompt,a\n\n1,\xe4\n", 3, "invalid_encoding"),
    ],
)
@pytest.mark.parametrize("block", [1, 4, 1000])
def test_what_is_no_csv_is_told_by_its_line(body: bytes, line: int, code: str, block: int) -> None:
    with pytest.raises(UnreadableBody) as refused:
        rows_of(body, block=block)
    assert (refused.value.line, refused.value.code) == (line, code)


def test_rows_have_the_numbers_of_the_lines_on_which_they_begin() -> None:
    rows = rows_of(b'\nprompt,a\n"x\ny",1\n\nz,2\nragged\n')
    assert [number for number, line in rows if line] == [3, 6, 7]
    assert isinstance(fault := rows[-1][1], LineFault)
    assert (fault.line, fault.code) == (7, "ragged_row")


def test_a_quote_that_is_never_closed_does_not_fill_the_memory() -> None:
    reader = CsvRows(lambda columns: SheetRows(columns, JobDefaults()))
    reader.take(b'prompt,a\n1,"')

    def go_on() -> None:
        for _ in range(3 * MAX_LINE_BYTES >> 20):
            reader.take((b"x" * 1023 + b"\n") * 1024)

    with pytest.raises((LineTooLong, UnreadableBody)):
        go_on()


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"prompt,a,a", "twice"),
        (b"prompt,a b,a_b", "nearly the same"),
        (b"prompt,Prompt", "are both the field `prompt`"),
        (b"a,b", "expected a column `prompt`, or a template such as {{ a }}"),
        (b"prompt," + b"x" * 300, "is the first row the header?"),
    ],
)
def test_a_header_that_can_not_be_is_refused(header: bytes, words: str) -> None:
    with pytest.raises(InvalidColumns) as refused:
        rows_of(header + b"\n1,2\n")
    assert words in refused.value.message


@pytest.mark.parametrize(
    "start", [b"sep=;\r\nprompt;a,b\r\n", b'"prompt";"a,b,c"\n', b"\xef\xbb\xbfprompt;a\n"]
)
def test_the_delimiter_is_found_in_the_header(start: bytes) -> None:
    (line,) = lines_of(rows_of(start + b"1,5;2\n"))
    assert line["prompt"] == "1,5"


def test_columns_become_fields_variables_and_what_is_carried_along() -> None:
    body = b"id,Prompt,MAX_TOKENS,Product name,seed,stop\n7,p,12,mill,,END\n"
    (line,) = lines_of(rows_of(body))
    assert line == {
        "custom_id": "7",
        "prompt": "p",
        "max_tokens": 12,
        "stop": "END",
        "metadata": {"id": "7", "Product name": "mill"},
    }
    (line,) = lines_of(rows_of(body, template="{{ prompt }}"))
    assert line == {
        "custom_id": "7",
        "max_tokens": 12,
        "stop": "END",
        "variables": {"id": "7", "Prompt": "p", "Product_name": "mill"},
    }
    body = b'text,target,glossary,price\nThe mill,fr,"{""mill"": ""moulin""}",5\n'
    (line,) = lines_of(rows_of(body, kind="translation"))
    assert line == {
        "custom_id": "1",
        "text": "The mill",
        "target": "fr",
        "glossary": {"mill": "moulin"},
        "metadata": {"price": "5"},
    }


def test_whole_numbers_that_a_tool_has_written_as_floats_are_whole() -> None:
    body = b"prompt,max_tokens,seed,temperature\n5.0,12.0,1e300,0.20\n"
    (row,) = rows_of(body)
    assert row[1] == (
        b'{"custom_id":"1","prompt":"5.0","max_tokens":12,"seed":1e300,"temperature":0.2}'
    )


def test_rows_of_several_kinds_are_read_as_their_kind_has_it() -> None:
    found = lines_of(rows_of(b"kind,prompt,text\ngeneration,a,\ntranslation,,b\n"))
    assert found == [
        {"custom_id": "1", "kind": "generation", "prompt": "a"},
        {"custom_id": "2", "kind": "translation", "text": "b"},
    ]

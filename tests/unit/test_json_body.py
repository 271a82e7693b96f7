"""A submission as one JSON document: its items are cut out as they were written."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.json_body import EXAMINED_BYTES, jobs_of
from jobs.errors import EmptySubmission, SubmissionError, UnreadableBody, WrongFormat

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

"""A log of objects: the same records, with what they are about as fields."""

import json
import logging
import sys

import pytest

from api.access.audit import note
from jobs.errors import NotFound
from jobs.settings import Settings
from jobs.store.refs import new_ref
from scripts.launcher.environment import _log_handler
from scripts.launcher.json_log import JsonLog

REF = new_ref("bat_")


def line_of(
    message: str, *arguments: object, error: BaseException | None = None
) -> dict[str, object]:
    exc_info = None
    if error is not None:
        try:
            raise error
        except type(error):
            exc_info = sys.exc_info()
    record = logging.LogRecord(
        "workers.x", logging.WARNING, "x.py", 1, message, arguments, exc_info
    )
    text = JsonLog().format(record)
    assert "\n" not in text
    line: dict[str, object] = json.loads(text)
    return line


def test_a_line_tells_batch_and_slice_as_fields() -> None:
    line = line_of("the lease of slice %d of %s ran out", 3, REF)
    assert (line["batch"], line["slice"]) == (REF, 3)
    assert line["message"] == f"the lease of slice 3 of {REF} ran out"
    assert (line["level"], line["logger"]) == ("WARNING", "workers.x")


def test_what_is_of_no_batch_has_no_such_field() -> None:
    assert not {"batch", "slice", "exception"} & set(line_of("ready for slices\nand more"))


def test_the_words_of_the_audit_are_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tidemill.audit"):
        note("batch_steered", 7, batch=REF, to="paused")
    line = json.loads(JsonLog().format(caplog.records[-1]))
    told = {name: line[name] for name in ("project", "key", "batch", "to")}
    assert told == {"project": "7", "key": "none", "batch": REF, "to": "paused"}


def test_the_text_of_an_exception_that_is_not_ours_is_left_out() -> None:
    line = line_of("it broke down", error=ValueError("the whole prompt"))
    assert line["exception"] == "ValueError"
    assert "prompt" not in json.dumps(line)
    assert "test_json_log.py" in json.dumps(line["raised_at"])
    assert line_of("no", error=NotFound("no such batch"))["reason"] == "no such batch"


def test_a_log_is_readable_unless_it_is_asked_otherwise() -> None:
    assert not isinstance(_log_handler(Settings()).formatter, JsonLog)
    assert isinstance(_log_handler(Settings(log_format="json")).formatter, JsonLog)

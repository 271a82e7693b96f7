"""A JSON body as lines: the jobs of `{"jobs": [...]}`, or of a bare array, each as its bytes.

Only the outermost list is looked at here, and nothing is built from it; what a job may be is the
line reader's matter.
"""

import codecs
import re
from collections.abc import Iterator

from jobs.errors import EmptySubmission, UnreadableBody, WrongFormat
from jobs.strict_json import LooseJson, read_strict

EXAMINED_BYTES = 1 << 20
"""Of a body that is no submission: as much is read once more, to say what is wrong with it."""

_COMMA = ord(",")

_OBJECT = re.compile(rb'\s*\{\s*"jobs"\s*:\s*\[')
_ARRAY = re.compile(rb"\s*\[")
_END_OF_OBJECT = re.compile(rb"\s*\}\s*\Z")
_END_OF_ARRAY = re.compile(rb"\s*\Z")

# A text is one token, also one without an end: nothing in it is taken for structure.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\(?s:.|\Z)[^"\\]*+)*+(?:"|\Z)|[\[\]{},]')


def jobs_of(body: bytes) -> Iterator[bytes]:
    """Yield the jobs of a JSON body.

    Raises:
        EmptySubmission: there is nothing in it.
        WrongFormat: it is JSON, but no submission.
        UnreadableBody: it is no JSON.
    """
    if start := _OBJECT.match(body):
        end = _END_OF_OBJECT
    elif start := _ARRAY.match(body):
        end = _END_OF_ARRAY
    else:
        raise _no_submission(body)
    begin = start.end()
    for position in _marks(body, begin):
        job = body[begin:position]
        if job.strip():
            yield job
        elif body[position] == _COMMA or begin != start.end():
            raise _at(body, position, "expected a job before this")
        begin = position + 1
    if body[begin - 1 : begin] != b"]" or begin == start.end():
        raise _at(body, len(body), "it is cut off; expected the end of the list of jobs")
    if not end.match(body, begin):
        raise _at(body, begin, "expected the end of the submission after the list of jobs")


def _marks(body: bytes, start: int) -> Iterator[int]:
    """Yield the places of the commas between jobs, and of the bracket after the last."""
    depth = 0
    for token in _TOKEN.finditer(body, start):
        mark = body[token.start()]
        if mark in b"[{":
            depth += 1
        elif depth and mark in b"]}":
            depth -= 1
        elif mark == _COMMA and not depth:
            yield token.start()
        elif mark in b"]}":
            yield token.start()
            return


def _no_submission(body: bytes) -> Exception:
    if not body.strip():
        return EmptySubmission()
    try:
        # The cut may fall into a character, which is no fault of the body's.
        decode = codecs.getincrementaldecoder("utf-8")().decode
        read_strict(decode(body[:EXAMINED_BYTES], final=len(body) <= EXAMINED_BYTES))
    except UnicodeDecodeError as error:
        return UnreadableBody(
            f"expected UTF-8, but byte {error.start + 1} of the body is none", "invalid_encoding"
        )
    except LooseJson as error:
        is_lines = error.message.startswith("extra data")
        if not is_lines and len(body) <= EXAMINED_BYTES:
            return UnreadableBody(
                f"the body {error.message}", error.code, line=error.line, column=error.column
            )
    return WrongFormat(
        'a body of type application/json is {"jobs": [...]}, or a list of jobs, and nothing else; '
        "one job a line is application/x-ndjson"
    )


def _at(body: bytes, position: int, what: str) -> UnreadableBody:
    line = body.count(b"\n", 0, position) + 1
    column = position - (body.rfind(b"\n", 0, position) + 1) + 1
    message = f"the body is no JSON submission at line {line}, column {column}: {what}"
    return UnreadableBody(message, "invalid_json", line=line, column=column)

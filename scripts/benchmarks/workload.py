"""The jobs: lines for a submission, and the same jobs as the requests that reach the provider.

All lines are equally long, so the size of a submission is known before it is made.
"""

from collections.abc import Iterator

PROVIDER = "sim"
MODEL = "sim-small"
INPUT_USD, OUTPUT_USD = "0.10", "0.40"
"""The simulator's own prices of `sim-small`, in dollars per million tokens."""

MAX_TOKENS = 256
OUTPUT_TOKENS = "20-200"
"""Answers differ in length, so that sums which are right by accident are not."""

LINES_PER_BLOCK = 200
LINE_BYTES = 1300
"""A prompt of some 300 tokens: a short article, or a record to extract from."""

_TEXT = "The tide comes in, fills the pond, and the miller waits for the ebb to grind the corn. "


def job_id(number: int) -> str:
    """Return the custom_id of a job, always eleven characters for up to ten million jobs."""
    return f"job-{number:07d}"


def job_number(custom_id: str) -> int | None:
    """Return the number of a custom_id, None if it is none of ours."""
    digits = custom_id.removeprefix("job-")
    return int(digits) if digits.isdecimal() and job_id(int(digits)) == custom_id else None


def mark(custom_id: str) -> str:
    """Return what every answer to this job begins with: the simulator says whom it answers."""
    return f"[job:{custom_id}]"


def line(number: int) -> bytes:
    """Return a job as a line of a submission."""
    custom_id = job_id(number).encode()
    return b"".join((_LINE_HEAD, custom_id, _LINE_MIDDLE, custom_id, _LINE_TAIL))


def blocks(jobs: int) -> Iterator[bytes]:
    """Yield a submission of so many jobs, some hundred lines at a time."""
    for start in range(0, jobs, LINES_PER_BLOCK):
        yield b"".join(map(line, range(start, min(start + LINES_PER_BLOCK, jobs))))


def request_body(number: int) -> bytes:
    """Return the body of the call that a worker makes for a job, byte for byte."""
    return b"".join((_BODY_HEAD, job_id(number).encode(), _BODY_TAIL))


_LINE_HEAD = b'{"custom_id":"'
_LINE_MIDDLE = f'","model":"{MODEL}","max_tokens":{MAX_TOKENS},"prompt":"[job:'.encode()
_LINE_END = b'"}\n'
_PROMPT_BYTES = LINE_BYTES - sum(
    map(len, (_LINE_HEAD, job_id(0), _LINE_MIDDLE, job_id(0), "] ", _LINE_END))
)
_PROMPT = (_TEXT * (_PROMPT_BYTES // len(_TEXT) + 1))[:_PROMPT_BYTES]
_LINE_TAIL = f"] {_PROMPT}".encode() + _LINE_END
_BODY_HEAD = f'{{"model":"{MODEL}","messages":[{{"role":"user","content":"[job:'.encode()
_BODY_TAIL = f'] {_PROMPT}"}}],"max_tokens":{MAX_TOKENS}}}'.encode()

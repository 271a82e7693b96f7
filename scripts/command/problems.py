"""The client's errors as those of this project, and with the words of a person at a shell."""

from collections.abc import Iterator
from contextlib import contextmanager

import tidemill
from jobs import errors
from tidemill.connection import UNREACHED

_KINDS: tuple[tuple[type[tidemill.TidemillError], type[errors.TidemillError]], ...] = (
    (tidemill.ConfigurationError, errors.ConfigurationError),
    (tidemill.SubmissionTooLarge, errors.SubmissionTooLarge),
    (tidemill.SubmissionError, errors.SubmissionError),
    (tidemill.NotAuthorised, errors.NotAuthorised),
    (tidemill.NotFound, errors.NotFound),
    (tidemill.Conflict, errors.Conflict),
    (tidemill.ServiceUnavailable, errors.ServiceUnavailable),
)
"""The first row that fits counts."""


NO_KEY_HELPS = errors.SourceNotAllowed.code
"""Of what is refused whatever the key may do."""


@contextmanager
def in_our_words() -> Iterator[None]:
    """Turn an error of the client into one of `jobs.errors`, of which it is the cause."""
    try:
        yield
    except tidemill.TidemillError as error:
        raise _ours(error) from error


def _ours(error: tidemill.TidemillError) -> errors.TidemillError:
    message = error.message
    if isinstance(error, tidemill.InvalidSubmission):
        faults = [
            errors.LineFault(f.line, f.code, f.field, f.message, f.column)
            for f in error.faults
            if f.line
        ]
        ours: errors.TidemillError = errors.InvalidSubmission(
            message, faults=faults, fault_count=error.fault_count
        )
    else:
        if isinstance(error, tidemill.NotAuthorised) and error.code != NO_KEY_HELPS:
            hint = "give a key with TIDEMILL_API_KEY, --key or the file api-key in TIDEMILL_HOME"
            message = f"{message} ({hint})"
        elif error.code == UNREACHED:
            message = f"{message}: start one with `tidemill up`, or name one with --url"
        ours = next(kind for theirs, kind in _KINDS if isinstance(error, theirs))(message)
    if error.code != UNREACHED:
        ours.code = error.code
    return ours

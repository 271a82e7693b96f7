"""Errors of providers without what they repeat of a request: a pause is told to all who use the pool.

Gateways like to show the request that they failed with. The job's own result shows that to its owner;
the log, Redis and other projects' batches get the status alone.
"""

from jobs.errors import ProviderError
from jobs.exchange import ModelRequest

PIECE_CHARACTERS = 16
"""Of a message that are looked for in a request: less is found by chance."""

SHORTEST_CHARACTERS = 4
"""Of a short text that is looked for as a whole."""

STEP_CHARACTERS = 4
"""Between two such pieces: whatever is repeated and has 19 characters or more holds one of them."""

SEARCHED_CHARACTERS = 1 << 20
"""Of a request; of a longer one nothing is believed not to be an echo."""


def without_echo(error: ProviderError, request: ModelRequest) -> ProviderError:
    """Return the error, or one like it that says nothing, if its message repeats some of the request."""
    if not _repeats(error.message, request):
        return error
    what = f"HTTP {error.status}" if error.status else (type(error).__doc__ or "").strip()
    return type(error)(
        what,
        status=error.status,
        request_id=error.request_id,
        wait_s=error.wait_s,
        headers=error.headers,
    )


def _repeats(message: str, request: ModelRequest) -> bool:
    texts = [_plain(turn.content) for turn in request.messages]
    texts.append(_plain(request.system or ""))
    if sum(map(len, texts)) > SEARCHED_CHARACTERS or "\\u" in message:
        return True
    said = _plain(message)
    pieces = {
        said[start : start + PIECE_CHARACTERS]
        for start in range(0, len(said) - PIECE_CHARACTERS + 1, STEP_CHARACTERS)
    }
    return any(
        (SHORTEST_CHARACTERS <= len(text) < PIECE_CHARACTERS + STEP_CHARACTERS and text in said)
        or any(piece in text for piece in pieces)
        for text in texts
    )


def _plain(text: str) -> str:
    """Return a text without what quoting and printing change: blanks, quotes, backslashes and case."""
    return text.replace("\\n", " ").translate(_UNQUOTED).casefold()


_UNQUOTED = dict.fromkeys(map(ord, " \t\r\n\"'`\\"))

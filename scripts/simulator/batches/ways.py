"""How batches go: how long they take, what they are allowed, and what goes wrong with their results."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from scripts.simulator.words import read_words

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Ways(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the batches of all four providers go; a change is a change for those that run, too.

    A batch is validated for `validates_s`, then runs for `takes_s`, line by line in an order of its own,
    but never gets beyond the share `stall`; then its files are made for `finalizes_s`. Cancelling takes
    `cancels_s`, and the work goes on meanwhile. What is not done `expires_in_s` after its creation expires
    (None is the provider's own day or two). Of what was done by then, results are kept, but not without
    `partial`, and never by Gemini for what has expired; it is billed all the same.

    `enqueued_tokens` are the input tokens that a model's batches may have in all at a time,
    `creates_per_hour` the batches that may be created, `max_lines` and `max_bytes` the size of one (None is
    the provider's own). With `fails`, a validated batch ends failed with that code. A batch is in no list
    for the first `list_lag_s`.

    The results lie: each line is in them `doubled` or `missing` with that probability, `foreign` lines of
    nobody's are among them, the last line is `cut` in the middle, and the counts are `miscounted`.
    """

    takes_s: Seconds = 20.0
    stall: Share = 1.0
    validates_s: Seconds = 0.2
    finalizes_s: Seconds = 0.2
    cancels_s: Seconds = 0.5
    expires_in_s: Seconds | None = None
    partial: bool = True
    enqueued_tokens: Count | None = None
    creates_per_hour: Count | None = None
    max_lines: Count | None = None
    max_bytes: Count | None = None
    fails: str = ""
    list_lag_s: Seconds = 0.0
    doubled: Share = 0.0
    missing: Share = 0.0
    foreign: Annotated[int, msgspec.Meta(ge=0)] = 0
    cut: bool = False
    miscounted: bool = False


def parse_ways(text: str) -> Ways:
    """Read `name=value,…`, such as `takes_s=60,stall=0.9`.

    Raises:
        ValueError: an unknown field, or a value out of range.
    """
    return read_words(Ways, f"batches {text!r}", text, {})


def changed(ways: Ways, changes: Mapping[str, Any]) -> Ways:
    """Return `ways` with these fields changed.

    Raises:
        ValueError: an unknown field, or a value out of range.
    """
    if not changes:
        return ways
    try:
        return msgspec.convert(msgspec.structs.asdict(ways) | dict(changes), Ways)
    except msgspec.ValidationError as error:
        raise ValueError(f"batches: {error}") from None

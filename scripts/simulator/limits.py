"""What a provider allows, as a simulator is told it."""

from typing import Annotated, Literal

import msgspec

from scripts.simulator.words import read_words

Count = Annotated[int, msgspec.Meta(ge=1)]
Rate = Annotated[float, msgspec.Meta(ge=0)]


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a quota allows to the requests that match.

    `protocol` and `model` are shell patterns. A quota is held per `model`, per API `key`, or by
    everything that matches together (`pool`). A bucket holds `burst_s` seconds of its rate and
    begins `full` or `empty`, and fills from the moment that the limit is set. A day's count (`rpd`,
    `tpd`) ends `resets_in_s` after that moment, by default at the provider's midnight.

    Without `hint`, a refusal says nothing about how long to wait; without `headers`, no header tells
    of the limit; with a `header_factor`, headers tell that multiple of the truth. `foreign_rps` and
    `foreign_tps` are the requests and tokens that other software takes with the same key in each
    second. A server with `queue_above` works on so many calls at once and lets the others wait.
    """

    protocol: str = "*"
    model: str = "*"
    per: Literal["model", "key", "pool"] = "model"
    rps: Count | None = None
    rpm: Count | None = None
    rph: Count | None = None
    rpd: Count | None = None
    tpm: Count | None = None
    itpm: Count | None = None
    otpm: Count | None = None
    tpd: Count | None = None
    concurrency: Count | None = None
    queue_above: Count | None = None
    burst_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0
    start: Literal["full", "empty"] = "full"
    resets_in_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    hint: bool = True
    headers: bool = True
    header_factor: Annotated[float, msgspec.Meta(gt=0, le=100)] = 1.0
    foreign_rps: Rate = 0.0
    foreign_tps: Rate = 0.0


def parse_limit(text: str) -> Limit:
    """Read `[PROTOCOL[/MODEL]]:name=value,…`, such as `openai/sim-*:rpm=3000,burst_s=1`.

    Raises:
        ValueError: an unknown field, or a value out of range.
    """
    where, _, rest = text.partition(":")
    protocol, _, model = where.partition("/")
    return read_words(
        Limit, f"limit {text!r}", rest, {"protocol": protocol or "*", "model": model or "*"}
    )

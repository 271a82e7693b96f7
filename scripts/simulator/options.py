"""What a simulator is started with."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.simulator.batches.ways import Ways
from scripts.simulator.faults import Fault
from scripts.simulator.latency import Latency
from scripts.simulator.limits import Limit
from scripts.simulator.prices import DEFAULT_PRICES, Price


@dataclass(frozen=True, slots=True)
class OutputTokens:
    """How long answers are: from `least` to `most` tokens, both included, fixed by the job's id."""

    least: int = 20
    most: int = 20

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}-{self.most}"


def parse_output_tokens(text: str) -> OutputTokens:
    """Read `N` or `LEAST-MOST`.

    Raises:
        ValueError: no whole numbers, less than one token, or the wrong way round.
    """
    least, dash, most = text.partition("-")
    try:
        tokens = OutputTokens(int(least), int(most if dash else least))
    except ValueError:
        raise ValueError(f"output tokens {text!r} are not N or LEAST-MOST") from None
    if not 1 <= tokens.least <= tokens.most:
        raise ValueError(f"output tokens {text!r}: LEAST is at least 1 and at most MOST")
    return tokens


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Everything that a simulator is told.

    Faults, latency, limits, lengths and `batches` can change while it runs. Port 0 is any free one. `seed`
    decides latencies and faults, in the order of arrival. `cached_percent` of the input of prompts
    from 1,024 tokens on is reported as cached, `reasoning_percent` of the output as reasoning. With
    `prompt_caches` it is instead what a provider's cache would hold. With `fsync`, the file `ledger` is
    also forced to the disk each time it is written.

    Raises:
        ValueError: the host is not a loopback address: the simulator has no authentication.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 1
    latency: Latency = field(default_factory=Latency)
    output_tokens: OutputTokens = field(default_factory=OutputTokens)
    limits: tuple[Limit, ...] = ()
    faults: tuple[Fault, ...] = ()
    batches: Ways = field(default_factory=Ways)
    prices: Mapping[str, Price] = field(default_factory=lambda: dict(DEFAULT_PRICES))
    cached_percent: int = 0
    reasoning_percent: int = 0
    prompt_caches: bool = False
    ledger: Path | None = None
    fsync: bool = False

    def __post_init__(self) -> None:
        if not _is_loopback(self.host):
            raise ValueError(f"the simulator listens on loopback only, not on {self.host!r}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""What a provider does to a batch in the middle: each trouble in the simulator's words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of trouble.

    `fault` is the kind of the simulator's fault that hits every call, empty for a provider of which
    nothing listens any more and whose open connections are cut. `is_outage` tells those that last as
    long as an outage does.
    """

    name: str
    fault: str
    is_outage: bool = False

    def begins(self, seconds: float) -> dict[str, Any]:
        """The change that begins it."""
        if not self.fault:
            return {"offline_s": seconds}
        return {"faults": [{"kind": self.fault}]}


TROUBLES = {
    trouble.name: trouble
    for trouble in (
        Trouble("storm of 429", "429"),
        Trouble("outage, 503", "503", is_outage=True),
        Trouble("outage, 500", "500", is_outage=True),
        Trouble("outage, nobody listens", "", is_outage=True),
        Trouble("quota exhausted", "quota"),
        Trouble("key revoked", "401"),
    )
}


@dataclass(frozen=True, slots=True)
class TroublePlan:
    """What is tried, each on a batch of so many jobs at a limit of so many calls a second.

    The trouble begins once a quarter of the jobs are done; it lasts `outage_s`, or `trouble_s`.
    """

    troubles: Sequence[str] = tuple(TROUBLES)
    jobs: int = 20_000
    calls_s: int = 200
    workers: int = 2
    outage_s: float = 300.0
    trouble_s: float = 70.0

    def lasts_s(self, trouble: Trouble) -> float:
        """Return how long a trouble lasts."""
        return self.outage_s if trouble.is_outage else self.trouble_s


SMALL_TROUBLE = TroublePlan(
    troubles=("outage, 500",), jobs=2_000, calls_s=100, workers=1, outage_s=8.0
)
"""What CI runs: that no job fails and no attempt counts, not how soon all is well."""

"""When a job takes its route's next target, and how long it waits for them: pure decisions."""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.gate.gate import BLOCKED_PATIENCE_S, ComeBack

LONGEST_REST_S = 25.0
"""A job waits this long for a blocked pool within its slice's lease; for longer waits it is left to
a later one. Above any pause that no provider has asked for."""

SHORT_BLOCK_S = BLOCKED_PATIENCE_S
"""So long any slice waits for a blocked pool; for longer, only a few do."""

PACE_PATIENCE_S = 20.0
"""So long a job waits at the gate for pace, before it says so to the operator and goes on waiting: it
never leaves a queue that moves, or all would leave it together and nobody were there to be next."""

DETOUR_PATIENCE_S = 5.0
"""The same where the job's route has other targets, which may have become better meanwhile."""

SHORTEST_REST_S = 0.05
"""Between two times that a job asks the gate, whatever the gate said: no hot loop."""

A_MOMENT_S = 0.5
"""No wait that a route's next target is taken for, however impatient the batch is: limits put that
much between two calls in their ordinary course."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a job waits for a target while its route has another one."""

    failover_after_s: float

    def left_s(self, waited_s: float) -> float:
        """Return what is left of it after a wait."""
        return max(self.failover_after_s - waited_s, A_MOMENT_S)

    def is_over(self, come_back: ComeBack, left_s: float) -> bool:
        """Whether to turn to the next target now, instead of waiting for this one as it says."""
        return come_back.is_blocked or come_back.wait_s > left_s or left_s <= A_MOMENT_S


@dataclass(frozen=True, slots=True)
class Wait:
    """What all targets together said: to be waited for the one that is soonest."""

    wait_s: float
    reason: str
    is_blocked: bool

    @classmethod
    def after(cls, waits: Sequence[ComeBack]) -> "Wait":
        """Return what the answers of the targets that were asked come to; at least one.

        While one of them goes on, that is what is waited for, whenever another may be back.
        """
        soonest = min(waits, key=lambda wait: (wait.is_blocked, wait.wait_s))
        reasons = dict.fromkeys(wait.reason for wait in waits)
        return cls(
            wait_s=max(soonest.wait_s, SHORTEST_REST_S),
            reason="; ".join(reasons),
            is_blocked=soonest.is_blocked,
        )

    @property
    def is_short(self) -> bool:
        """Whether any slice may wait for it within its lease: limits move on, a blocked pool may not."""
        return not self.is_blocked or self.wait_s <= SHORT_BLOCK_S

    def told_again_s(self, patience_s: float) -> float:
        """Within what time a job that still waits, so long for pace, is told so again."""
        if self.is_blocked:
            patience_s = min(patience_s, BLOCKED_PATIENCE_S)
        return self.rest_s + patience_s + A_MOMENT_S

    @property
    def rest_s(self) -> float:
        """How long to stay away from the gate; for pace not at all, as one waits there in the queue."""
        return self.wait_s if self.is_blocked else SHORTEST_REST_S

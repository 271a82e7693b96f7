"""What comparing a batch with its provider's account has shown: sums, and the first contradictions.

Pure: `jobs.billing` compares the calls and attempts of one job, and `jobs.reconcile` brings them here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from jobs.billing import BilledCall, ChargedAttempt, Comparison
from jobs.store.proof.attempt_groups import Charged

LISTED_FINDINGS = 20


@dataclass(slots=True)
class Finding:
    """Something of a job that does not agree: `code` is a field of `Comparison`."""

    code: str
    custom_id: str
    n: int | None
    message: str


@dataclass(slots=True)
class Verdict:
    """What comparing a batch with an account has shown.

    Attributes:
        lines: of the account.
        unbilled: of those, calls for which the provider took nothing.
        foreign: billed calls for jobs that the batch doesn't have; they may be another batch's.
        provider: all billed calls of the batch's jobs, at the provider's prices (ours, where it
            tells none).
        agreed: attempts that the account has to the token and the nano-dollar.
        drifted: attempts that it has otherwise; `drift_nanos` is how much more the provider took.
        learned: attempts of unknown use of which it tells the use, as they are charged so far.
        learned_nanos: what the provider took for those.
        unseen: attempts whose answer was lost, and of which it has nothing.
        in_flight: calls that are on their way by our account.
        overcharged: answered attempts that it doesn't have.
        unrecorded: calls that we know nothing of.
        corrected: attempts that were corrected.
        findings: the first of what is a violation, by job.
    """

    lines: int = 0
    unbilled: int = 0
    foreign: Charged = field(default_factory=lambda: Charged(0, 0))
    provider: Charged = field(default_factory=lambda: Charged(0, 0))
    agreed: int = 0
    drifted: int = 0
    drift_nanos: int = 0
    learned: Charged = field(default_factory=lambda: Charged(0, 0))
    learned_nanos: int = 0
    unseen: Charged = field(default_factory=lambda: Charged(0, 0))
    in_flight: int = 0
    overcharged: Charged = field(default_factory=lambda: Charged(0, 0))
    unrecorded: Charged = field(default_factory=lambda: Charged(0, 0))
    corrected: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing of the two accounts contradicts the other."""
        return not (self.drifted or self.overcharged.attempts or self.unrecorded.attempts)

    def count(self, found: Comparison, custom_id: str) -> None:
        """Add a job's comparison."""
        for made, call in (*found.agreed, *found.drifted, *found.learned, *found.in_flight):
            self.provider = plus(self.provider, made.cost_of(call))
        self.agreed += len(found.agreed)
        self.in_flight += len(found.in_flight)
        for made, call in found.drifted:
            self.drifted += 1
            self.drift_nanos += (made.cost_of(call) or 0) - (made.cost_nanos or 0)
        for made, call in found.learned:
            self.learned = plus(self.learned, made.cost_nanos)
            self.learned_nanos += made.cost_of(call) or 0
        for made in found.unseen:
            self.unseen = plus(self.unseen, made.cost_nanos)
        for made in found.overcharged:
            self.overcharged = plus(self.overcharged, made.cost_nanos)
        for call in found.unrecorded:
            self.provider = plus(self.provider, call.cost_nanos)
            self.unrecorded = plus(self.unrecorded, call.cost_nanos)
        room = LISTED_FINDINGS - len(self.findings)
        if room > 0:
            self.findings += islice(_findings(found, custom_id), room)


def plus(sums: Charged, nanos: int | None) -> Charged:
    """Return sums with one more attempt, or call, in them."""
    return Charged(sums.attempts + 1, sums.cost_nanos + (nanos or 0))


def _findings(found: Comparison, custom_id: str) -> Iterator[Finding]:
    for made, call in found.drifted:
        yield Finding("drifted", custom_id, made.n, _difference(made, call))
    for made in found.overcharged:
        message = f"charged {made.cost_nanos or 0:,} nano-dollars, and the account has no such call"
        yield Finding("overcharged", custom_id, made.n, message)
    for call in found.unrecorded:
        message = f"billed {call.cost_nanos or 0:,} nano-dollars, and no attempt of ours made it"
        yield Finding("unrecorded", custom_id, None, message)


def _difference(made: ChargedAttempt, call: BilledCall) -> str:
    ours = made.usage or call.usage
    parts = [
        f"{name} {mine:,} here, {theirs:,} there"
        for name, mine, theirs in zip(
            ours.__struct_fields__, ours.counts(), call.usage.counts(), strict=True
        )
        if mine != theirs
    ]
    if made.cost_nanos != (theirs_nanos := made.cost_of(call)):
        parts.append(f"cost {made.cost_nanos or 0:,} here, {theirs_nanos or 0:,} there")
    return "; ".join(parts)

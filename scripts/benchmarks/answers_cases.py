"""How the simulated model lies, and what a batch may say about that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scripts.benchmarks.workload import MODEL

BETTER_MODEL = "sim-large"
ROUTE = "cheap"

LIES: Mapping[str, float] = {
    "missing_field": 0.025,
    "wrong_type": 0.025,
    "extra_key": 0.025,
    "invalid_json": 0.025,
    "misquoted": 0.05,
    "length": 0.05,
    "wrong_language": 0.025,
    "untranslated": 0.025,
    "lost_placeholder": 0.025,
    "changed_placeholder": 0.0125,
    "changed_number": 0.0125,
    "refusal": 0.01,
    "denial": 0.01,
    "loop": 0.02,
    "empty": 0.01,
    "sloppy": 0.05,
}
"""The share of the answers that lie so, of those that can: a bad schema in 10 %, cut off 5 %, in a wrong
language 5 %, with something lost or changed 5 %."""

TOLD = 0.25
"""Of that share, for requests that say what was wrong: whoever is told does better."""

BETTER = 0.2
"""Of that share, for the next model of the route, which costs ten times as much."""

POLICIES: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "asked again up to 3 times": {"ask_again": "3"},
    "nothing is done": {
        "repair": "false",
        "ask_again": "0",
        "escalate": "false",
        "raise_max_tokens": "1",
    },
}
"""What the batch says about bad answers, by what the table calls it."""


@dataclass(frozen=True, slots=True)
class AnswersPlan:
    """What is tried: a batch of so many jobs for each policy. All lies are `times` as frequent."""

    jobs: int = 8_000
    policies: Sequence[str] = tuple(POLICIES)
    workers: int = 2
    in_flight: int = 400
    times: float = 1.0
    lies: Mapping[str, float] = field(default_factory=lambda: LIES)

    def faults(self) -> list[dict[str, object]]:
        """Return the lies as the simulator takes them."""
        return [
            {
                "kind": kind,
                "model": model,
                "probability": probability * factor,
                "told": probability * factor * TOLD,
            }
            for kind, share in self.lies.items()
            for model, factor in ((MODEL, 1.0), (BETTER_MODEL, BETTER))
            for probability in (share * self.times,)
        ]


SMALL_ANSWERS = AnswersPlan(jobs=400, policies=("as it is",), workers=1, in_flight=100, times=2.0)
"""What CI runs: that no lie passes, not how many there are."""

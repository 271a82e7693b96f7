"""What became of a batch: its jobs, their calls, and what the policy did about bad answers. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]

ANSWERED = "succeeded"
"""The outcome of a call that was answered, however bad the answer was."""

MORE_ROOM = "truncated"
"""The fault that is not asked about again, but given more room."""


@dataclass(frozen=True, slots=True)
class Story:
    """A batch that has ended.

    `faults` counts bad answers by their code, `failures` the jobs that failed by theirs. A bad answer
    that was not its job's last one was followed by another call: `asked_again` for the same, or
    `given_room`; `recovered` are the jobs that succeeded after one.
    """

    name: str
    results: Sequence[JsonObject]
    calls: Mapping[str, Sequence[JsonObject]]
    took_s: float

    @property
    def succeeded(self) -> int:
        """Jobs that have their output."""
        return sum(result["status"] == "succeeded" for result in self.results)

    @property
    def mended(self) -> int:
        """Jobs in whose answer something was put right here."""
        return sum(result["mended"] is not None for result in self.results)

    @property
    def failures(self) -> Counter[str]:
        """Jobs that failed, by code."""
        return Counter(result["error"]["code"] for result in self.results if result["error"])

    @property
    def faults(self) -> Counter[str]:
        """Bad answers, by code."""
        return Counter(code for calls in self.calls.values() for code in faults_of(calls))

    @property
    def asked_again(self) -> int:
        """Bad answers after which the same was asked again."""
        return len(self._followed) - self.given_room

    @property
    def given_room(self) -> int:
        """Bad answers after which the same was asked with more room."""
        return sum(code == MORE_ROOM for code in self._followed)

    @property
    def recovered(self) -> int:
        """Jobs that succeeded after a bad answer."""
        return sum(
            result["status"] == "succeeded" and bool(faults_of(self.calls_of(result)))
            for result in self.results
        )

    @property
    def call_count(self) -> int:
        """Calls that were made."""
        return sum(map(len, self.calls.values()))

    @property
    def tokens(self) -> int:
        """Of all calls, in and out."""
        used = [call["usage"] for calls in self.calls.values() for call in calls if call["usage"]]
        return sum(
            usage[name]
            for usage in used
            for name in (
                "input_tokens",
                "cached_input_tokens",
                "cache_write_tokens",
                "output_tokens",
            )
        )

    @property
    def is_complete(self) -> bool:
        """Whether the model answered every job, be it badly: the rest is a fault of the machinery."""
        return all(
            (calls := self.calls_of(result)) and calls[-1]["outcome"] == ANSWERED
            for result in self.results
        )

    def calls_of(self, result: JsonObject) -> Sequence[JsonObject]:
        """Return the calls that were made for a result's job, in order."""
        return self.calls.get(result["custom_id"], ())

    @property
    def _followed(self) -> list[str]:
        return [
            code
            for calls in self.calls.values()
            for code in faults_of(calls[:-1])  # nothing follows a job's last call
        ]


def faults_of(calls: Iterable[JsonObject]) -> list[str]:
    """Return what was wrong with the answers of some calls, by code and in order."""
    return [
        call["error"]["code"] for call in calls if call["outcome"] == ANSWERED and call["error"]
    ]


def by_job(attempts: Iterable[JsonObject]) -> dict[str, list[JsonObject]]:
    """Return a batch's attempts by the `custom_id` of their jobs, in order."""
    calls: defaultdict[str, list[JsonObject]] = defaultdict(list)
    for attempt in attempts:
        calls[attempt["custom_id"]].append(attempt)
    return dict(calls)

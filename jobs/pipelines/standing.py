"""How far the stages of a run are. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.pipelines.flow import Flow


@dataclass(frozen=True, slots=True)
class StageCounts:
    """A stage's rows: those whose job is not answered or not handed over, and those that are to get one."""

    sent: int
    again: int
    failed: int = 0


def has_all(flow: Flow, source_is_read: bool, counts: Sequence[StageCounts]) -> list[bool]:
    """Return of each stage whether no further job will be added to it."""
    return [
        _inputs_ended(flow, source_is_read, counts, number) and not counts[number].again
        for number in range(len(flow.nodes))
    ]


def has_ended(source_is_read: bool, counts: Sequence[StageCounts]) -> bool:
    """Return whether every row has gone through all that it reaches."""
    return source_is_read and not any(count.sent or count.again for count in counts)


def _inputs_ended(
    flow: Flow, source_is_read: bool, counts: Sequence[StageCounts], number: int
) -> bool:
    if not source_is_read:
        return False
    # What a row is ready for is begun with what made it ready, so the stages before tell it.
    return not any(counts[before].sent or counts[before].again for before in flow.before(number))

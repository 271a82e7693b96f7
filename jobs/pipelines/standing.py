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
    done: int = 0
    left_out: int = 0


def has_all(flow: Flow, source_is_read: bool, counts: Sequence[StageCounts]) -> list[bool]:
    """Return of each stage whether no further job will be added to it."""
    return [
        _inputs_ended(flow, source_is_read, counts, number) and not counts[number].again
        for number in range(len(flow.nodes))
    ]


def has_ended(source_is_read: bool, counts: Sequence[StageCounts]) -> bool:
    """Return whether every row has gone through all that it reaches."""
    return source_is_read and not any(count.sent or count.again for count in counts)


def jobs_to_come(flow: Flow, rows: int, counts: Sequence[StageCounts]) -> list[int]:
    """Return of each stage how many jobs have no result yet, or are to be begun, if no further row is lost.

    Of those that wait for several stages as many come as the one brings that has lost most.
    """
    shares: list[float] = []  # of all places of a stage, those that bring an answer or still may
    left = []
    for number, count in enumerate(counts):
        places = rows * len(flow.branches(number))
        reached = min((shares[before] for before in flow.inputs[number]), default=1.0)
        possible = round(places * reached)
        left.append(max(possible - count.done - count.failed - count.left_out, 0))
        shares.append(max(possible - count.failed - count.left_out, 0) / max(places, 1))
    return left


def _inputs_ended(
    flow: Flow, source_is_read: bool, counts: Sequence[StageCounts], number: int
) -> bool:
    if not source_is_read:
        return False
    # What a row is ready for is begun with what made it ready, so the stages before tell it.
    return not any(counts[before].sent or counts[before].again for before in flow.before(number))

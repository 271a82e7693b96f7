"""What happens to batches that have a deadline and may go at half the price: each story in a few words."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.benchmarks.cases import Store


@dataclass(frozen=True, slots=True)
class Story:
    """One thing that is tried.

    `stall` is the share of its lines beyond which no native batch gets. With `kills`, a worker is killed
    again and again. `must_save` is the share of the list price that must not be paid.
    """

    name: str
    stall: float = 1.0
    kills: bool = False
    must_save: float = 0.0
    must_be_in_time: bool = True


STORIES = {
    story.name: story
    for story in (
        Story("time enough", must_save=0.45),
        Story("stalls at 90 %", stall=0.9),
        # Nobody can promise a moment while everybody is being killed.
        Story("stalls, workers killed", stall=0.9, kills=True, must_be_in_time=False),
    )
}


@dataclass(frozen=True, slots=True)
class LanesPlan:
    """What is tried, each on a batch of so many jobs that is wanted `deadline_s` after it is submitted.

    A native batch holds `native_jobs`, takes `native_s`, is expected to take as long and `slack_s` more, and
    its cancel at most `cancel_s`. Live calls have a limit of `calls_s`, by which the time that a rescue
    needs is reckoned.
    """

    stories: Sequence[str] = tuple(STORIES)
    protocols: Sequence[str] = ("openai",)
    stores: Sequence[Store] = (Store.SQLITE,)
    jobs: int = 20_000
    native_jobs: int = 5_000
    workers: int = 2
    in_flight: int = 400
    deadline_s: float = 200.0
    native_s: float = 20.0
    slack_s: float = 10.0
    cancel_s: float = 20.0
    calls_s: int = 200
    kill_every_s: float = 10.0


SMALL_LANES = LanesPlan(
    stories=("stalls at 90 %",),
    jobs=500,
    native_jobs=250,
    workers=1,
    in_flight=100,
    deadline_s=19.0,
    native_s=1.0,
    slack_s=1.0,
    cancel_s=1.0,
    calls_s=1000,
)
"""What CI runs: that a batch is rescued, with every job answered once and every sum right."""

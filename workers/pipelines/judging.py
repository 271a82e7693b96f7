"""Whether a run's deadline can be met: reckoned once, when its source was read, at the limits that there are.

A run goes on whatever comes of it, and tells it. Only what surely can't be met is told so: answers are
brief, stages with a condition leave every row out that they have not begun, and nothing is reckoned of
stages that earlier answers or a batch lane may serve.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jobs.charging import charging_of, counted_tokens
from jobs.configuration import Configuration
from jobs.errors import ServiceUnavailable
from jobs.pipelines.files import Pipeline
from jobs.pipelines.standing import StageCounts, jobs_to_come
from jobs.pools import ask_pools
from jobs.quote import Known, Tally, known_states
from jobs.quote.beside import others_at_work
from jobs.quote.calls import BRIEF_TOKENS, LEAST_INPUT, MOST_INPUT
from jobs.quote.reach import Reach, Wish, reach
from jobs.quote.tally import Range
from jobs.routing import Catalogue, Target
from jobs.settings import Settings
from jobs.states import LaneWish
from jobs.store import Database, now
from jobs.store.runs import run_batches, run_times
from jobs.store.runs.run_times import Judgement, StageSize
from jobs.tables import Run
from jobs.vocabularies import start_ratio

log = logging.getLogger(__name__)

SPREAD = 100
"""Jobs by which it is told how a route with weights shares them."""

UNKNOWN_SIZE = StageSize(0.0, 1.0)
"""Of a stage that has no job yet: what it asks is made of answers that are not there."""


def limits_of_gate(settings: Settings, configuration: Configuration) -> Known:
    """Return what the gate knows; where it can't be asked, the configured limits are what there is."""
    try:
        return known_states(
            asyncio.run(ask_pools(settings.resolved_redis_url(), configuration)),
        )
    except ServiceUnavailable as error:
        log.info("deadlines are reckoned at the configured limits: %s", error)
        return {}


@dataclass(frozen=True, slots=True)
class Judge:
    """Reckons, and notes with the run what came of it. `known` asks for the limits that there are now."""

    configuration: Configuration
    catalogue: Catalogue
    known: Callable[[], Known]

    def judge_if_due(self, database: Database, run: Run, pipeline: Pipeline) -> None:
        """Judge a run with a deadline once its source was read, if nobody has."""
        if run.deadline is None or run.read_at is None or run.judged_at is not None:
            return
        assert run.id is not None  # a stored row has its key
        try:
            judgement = self._reckoned(database, run, pipeline)
        except ServiceUnavailable:
            raise
        except Exception:  # a run goes on whatever comes of this
            log.exception("the deadline of run %s can't be reckoned", run.ref)
            judgement = Judgement(quoted_jobs=0)
        with database.write() as session:
            is_news = run_times.note_judged(session, run.id, judgement)
        if is_news and judgement.unreachable is not None:
            log.warning("run %s: %s", run.ref, judgement.unreachable)

    def _reckoned(self, database: Database, run: Run, pipeline: Pipeline) -> Judgement:
        assert run.id is not None  # a stored row has its key
        assert run.deadline is not None  # or there is nothing to reckon
        known = self.known()
        with database.read() as session:
            moment = now(session)
            counts = run_times.counts_of(session, run.id)
            sizes = run_times.sizes_of_stages(session, run.id)
            own = run_batches.ids_of(session, run.id)
            left = jobs_to_come(pipeline.flow, run.rows, counts)
            every = list(self._tallies(pipeline, left, sizes))
            sure = list(self._tallies(pipeline, surely_to_come(pipeline, left, counts), sizes))
            wish = Wish(run.deadline, pipeline.window, pipeline.priority)
            queues = {tally.target.provider for tally in sure}
            others = others_at_work(session, queues, run.deadline, own)
        found = reach(sure, wish, moment, self.configuration, known, others)
        quoted = reach(every, wish, moment, self.configuration, known, ()) if every else None
        return Judgement(
            quoted_jobs=sum(left),
            quoted_s=None if quoted is None else quoted.quoted_s,
            unreachable=None if found.reaches else _sentence(found, run.rows),
        )

    def _tallies(
        self, pipeline: Pipeline, jobs: Sequence[int], sizes: dict[int, StageSize]
    ) -> Iterator[Tally]:
        """Yield what so many jobs of each stage take, by the target that is asked first."""
        for number, count in enumerate(jobs):
            stage = pipeline.stages[number]
            size = sizes.get(number, UNKNOWN_SIZE)
            resolved = self.catalogue.resolve(pipeline.model_of(stage))
            shares = Counter(resolved.order(0, seq)[0] for seq in range(SPREAD))
            for target, share in shares.items():
                calls = math.floor(count * size.called * share / SPREAD)
                if calls and not self._is_elsewhere(pipeline, number, target):
                    yield self._tally(target, calls, size, stage.defaults.max_tokens)

    def _is_elsewhere(self, pipeline: Pipeline, number: int, target: Target) -> bool:
        """Whether jobs may be served by earlier answers, or in a batch lane, whose time nobody knows."""
        has_lane = self.configuration.providers[target.provider].lane is not None
        may_take_lane = has_lane and pipeline.lane != LaneWish.LIVE
        return may_take_lane or pipeline.stages[number].defaults.reuse is not None

    def _tally(self, target: Target, calls: int, size: StageSize, max_tokens: int) -> Tally:
        ratio = start_ratio(target.model)
        low = math.floor(calls * size.input_tokens * LEAST_INPUT * min(ratio, 1.0))
        high = math.ceil(calls * size.input_tokens * MOST_INPUT * max(ratio, 1.0))
        brief, longest = calls * BRIEF_TOKENS, calls * max_tokens
        charging = charging_of(self.configuration.providers[target.provider])
        return Tally(
            target.model,
            target,
            jobs=calls,
            calls=calls,
            input_tokens=Range(low, high),
            output_tokens=Range(brief, longest),
            counted_tokens=Range(
                counted_tokens(charging, low, brief, brief),
                counted_tokens(charging, high, longest, longest),
            ),
        )


def surely_to_come(
    pipeline: Pipeline, left: Sequence[int], counts: Sequence[StageCounts]
) -> list[int]:
    """Return of each stage how many of the jobs `left` no condition can keep from being asked."""
    flow = pipeline.flow
    conditioned = {number for number, stage in enumerate(pipeline.stages) if stage.where}
    return [
        counts[number].sent + counts[number].again
        if conditioned & {number, *flow.before(number)}
        else count
        for number, count in enumerate(left)
    ]


def _sentence(found: Reach, rows: int) -> str:
    part = found.most_jobs / found.jobs
    fewer = math.floor(rows * part)
    return found.why(f"{rows:,} rows", f"about {fewer:,} rows" if fewer else None)

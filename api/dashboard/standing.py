"""How a batch stands, in the words and figures that a person asks for first. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from api.dashboard import words
from api.outlooks import timing_of
from jobs.clock import utcnow
from jobs.outlook import Outlook
from jobs.states import FED_BATCH_STATES, FINAL_BATCH_STATES, BatchState, PauseCause
from jobs.store.results.arrivals import Pace
from jobs.tables import Batch
from jobs.timing import Prospect, Timing

NEARLY_GONE = 0.9
"""Of a budget, from which on it is worth a word."""

MANY_FAIL = 0.05
"""Of the jobs that have ended, from which on failures are a trouble of the batch and not of its jobs."""

QUIET_S = 20.0
"""Without a call in flight or a result, after which a batch is held up and not only slow."""

FEW_ENDED = 20
"""Of fewer jobs no share is told."""


class Tone(StrEnum):
    """How a thing stands: the colour and the sign that it is shown with."""

    GOOD = "good"
    BUSY = "busy"
    CAUTION = "caution"
    BAD = "bad"
    QUIET = "quiet"


_PROSPECT_TONES = {
    Prospect.IN_TIME: Tone.GOOD,
    Prospect.KEPT: Tone.GOOD,
    Prospect.TIGHT: Tone.CAUTION,
    Prospect.LATE: Tone.BAD,
    Prospect.MISSED: Tone.BAD,
}


def _by(late_s: float) -> str:
    return f" by {words.duration(late_s)}" if late_s >= 1 else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch and what is known of it beside its row.

    `waits` is what holds it up, also where its row doesn't tell; `top_reason` is the code with which
    most of its jobs failed; `tried_at` is the queue at which it is between two tries. `outlook` is
    what is told of its end.
    """

    batch: Batch
    moves: Pace
    waits: str | None = None
    top_reason: str | None = None
    tried_at: str | None = None
    outlook: Outlook | None = None

    @property
    def title(self) -> str:
        """Its name, else its id."""
        return self.batch.name or self.batch.ref

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.batch.state in FINAL_BATCH_STATES

    @property
    def running(self) -> int:
        """Jobs in flight."""
        return min(self.batch.in_flight, self.batch.total_jobs - self.batch.finished_jobs)

    @property
    def waiting(self) -> int:
        """Jobs that neither ended nor are in flight."""
        return self.batch.total_jobs - self.batch.finished_jobs - self.running

    @property
    def pace(self) -> float | None:
        """Jobs per second lately; None where it is not known, or nothing moves."""
        is_fed = self.batch.state in FED_BATCH_STATES
        return self.moves.per_s if is_fed and not self.is_held else None

    @property
    def is_held(self) -> bool:
        """Whether nothing of it moves; what is only slowed down has calls in flight or new results."""
        if self.is_final or not self.waits:
            return False
        quiet_s = self.moves.quiet_s
        is_quiet = quiet_s is None or quiet_s > QUIET_S
        return self.batch.state == BatchState.PAUSED or (not self.running and is_quiet)

    @property
    def slowed_by(self) -> str | None:
        """What sets its pace, where it moves."""
        return None if self.is_final or self.is_held else self.waits

    @property
    def time_left_s(self) -> tuple[float, float] | None:
        """Seconds that are left, from and to; None where nothing is told, or nothing moves."""
        return None if self.outlook is None or self.pace is None else self.outlook.left_s

    @property
    def timing(self) -> Timing | None:
        """How it stands to its deadline; None without one."""
        return timing_of(self.batch, self.outlook, utcnow())

    @property
    def timing_sentence(self) -> str | None:
        """The same in words."""
        told, deadline = self.timing, self.batch.deadline
        if told is None or deadline is None:
            return None
        wanted = f"deadline {deadline:%d %b %H:%M} UTC"
        match told.prospect:
            case Prospect.KEPT:
                return f"{wanted}: kept"
            case Prospect.MISSED:
                return f"{wanted}: missed{_by(told.late_s)}"
            case Prospect.LATE if told.ready is None:
                return f"{wanted}: late{_by(told.late_s)}"
        if told.ready is None:
            return wanted
        soonest, latest = told.ready
        exact = "%H:%M:%S" if (latest - soonest).total_seconds() < words.MINUTE_S else "%H:%M"
        ready = f"ready {soonest:%d %b} {soonest:{exact}} to {latest:{exact}} UTC"
        if told.prospect is Prospect.LATE:
            return f"{ready}, {wanted}: late{_by(told.late_s)}"
        return f"{ready}, {wanted}{': it may be late' if told.prospect is Prospect.TIGHT else ''}"

    @property
    def timing_tone(self) -> Tone:
        """What its timing means."""
        told = self.timing
        return Tone.QUIET if told is None else _PROSPECT_TONES.get(told.prospect, Tone.QUIET)

    @property
    def budget_used(self) -> float | None:
        """The share of its budget that is spent or reserved; None where it has none."""
        cap = self.batch.max_cost_nanos
        return None if not cap else (self.batch.spent_nanos + self.batch.reserved_nanos) / cap

    @property
    def fails(self) -> bool:
        """Whether so many of its jobs fail that somebody should look."""
        ended = self.batch.finished_jobs
        return ended >= FEW_ENDED and self.batch.failed >= MANY_FAIL * ended

    @property
    def tone(self) -> Tone:
        """How it stands as a whole."""
        state = self.batch.state
        if state == BatchState.FAILED or (self.fails and self.batch.failed > self.batch.succeeded):
            return Tone.BAD
        if self.fails or self.concern is not None:
            return Tone.CAUTION
        if state == BatchState.COMPLETED:
            return Tone.GOOD if not self.batch.failed else Tone.CAUTION
        return Tone.QUIET if self.is_final or state == BatchState.PAUSED else Tone.BUSY

    @property
    def concern(self) -> str | None:
        """The one sentence about what is wrong with it; None where nothing is."""
        if self.is_held and self.batch.pause_cause != PauseCause.OWNER:
            return f"waits: {self.waits}"
        if self.fails:
            told = words.share(self.batch.failed, self.batch.finished_jobs)
            why = f", most with {self.top_reason}" if self.top_reason else ""
            return f"{told} of its jobs that ended failed{why}"
        if not self.is_final and self.timing_tone in {Tone.BAD, Tone.CAUTION}:
            return self.timing_sentence
        used = self.budget_used
        if not self.is_final and used is not None and used >= NEARLY_GONE:
            return f"{words.share(used, 1)} of its budget is spent or reserved"
        return None


@dataclass(frozen=True, slots=True)
class Headline:
    """What whoever opens the page must know first."""

    tone: Tone
    sentence: str


def headline(
    standings: Sequence[Standing], runs: Sequence[str] = (), runs_tone: Tone | None = None
) -> Headline:
    """Return how everything stands, of the unfinished batches and those that ended within a day.

    `runs` is what is told of runs of pipelines, before all else; `runs_tone` is that of the worst trouble
    of one, None where there is none.
    """
    ended = [each for each in standings if each.is_final]
    open_ = [each for each in standings if not each.is_final]
    held = [each for each in open_ if each.is_held]
    troubled = [each for each in standings if each.concern is not None]
    parts = list(runs)
    if ended:
        parts.append(f"{_batches(len(ended))} done{_failed(ended)}")
    if moving := [each for each in open_ if not each.is_held]:
        parts.append(f"{words.count(len(moving))} at work{_when(moving)}")
    if held:
        verb = "waits" if len(held) == 1 else "wait"
        parts.append(f"{words.count(len(held))} {verb}: {'; '.join(_whys(held))}")
    if not parts:
        return Headline(Tone.QUIET, "Nothing is at work, and nothing ended in the last 24 hours.")
    sentence = f"{', '.join(parts)}."
    tones = [each.tone for each in troubled] + ([] if runs_tone is None else [runs_tone])
    tone = max(tones, key=WORST.index, default=Tone.GOOD)
    return Headline(tone, sentence[0].upper() + sentence[1:])


SHORT_REASON = 60
"""Characters of a reason that the headline has whole."""

MOST_REASONS = 2

WORST = (Tone.QUIET, Tone.GOOD, Tone.BUSY, Tone.CAUTION, Tone.BAD)


def _batches(count: int) -> str:
    return "1 batch" if count == 1 else f"{words.count(count)} batches"


def _failed(ended: Sequence[Standing]) -> str:
    failed = sum(each.batch.failed for each in ended)
    if not failed:
        return ""
    total = sum(each.batch.total_jobs for each in ended)
    return f" ({words.count(failed)} of {words.count(total)} jobs failed)"


def _when(moving: Sequence[Standing]) -> str:
    spans = [span for each in moving if (span := each.time_left_s) is not None]
    if len(spans) < len(moving):
        return ""
    longest = max(spans, key=lambda span: span[1])
    return f", {words.between(*longest)} left"


def _whys(held: Sequence[Standing]) -> list[str]:
    """Return the different reasons in short: the list below has them whole."""
    whys = dict.fromkeys(
        # A batch's own reason begins so; among several it is told whose.
        f"{each.title}'s {waits[4:]}".partition(": ")
        if (waits := each.waits or "").startswith("its ")
        else waits.partition(": ")
        for each in held
    )
    shorts = [
        f"{what}{colon}{why}" if len(what) + len(why) <= SHORT_REASON else what
        for what, colon, why in whys
    ]
    return [*shorts[:MOST_REASONS], *(["and more"] if len(shorts) > MOST_REASONS else [])]

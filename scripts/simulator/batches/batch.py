"""One batch, from its creation to its end; what happens to it follows from the time alone."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from scripts.simulator.batches.form import ENDED, Form, Line, Phase, Problem
from scripts.simulator.batches.results import spoiled
from scripts.simulator.batches.shelf import Entry, File
from scripts.simulator.batches.work import Made, as_line, run_line
from scripts.simulator.dialects import Dialect

if TYPE_CHECKING:
    from scripts.simulator.batches.desk import Desk
    from scripts.simulator.calls import Answer


@dataclass(frozen=True, slots=True)
class Order:
    """What a client ordered.

    `words` are what it said besides, such as `metadata`. One that `is_inline` came without a file, and its
    results keep the order of its lines. `expires_s` is None where the provider alone decides.
    """

    form: Form
    dialect: Dialect
    key: str
    model: str
    endpoint: str
    lines: list[Line]
    problems: list[Problem] = field(default_factory=list)
    words: dict[str, Any] = field(default_factory=dict)
    is_inline: bool = False
    expires_s: float | None = None


class Batch:
    """A batch; `now_s` is the desk's clock, `created_at` the same moment in seconds since 1970."""

    def __init__(self, desk: "Desk", number: int, order: Order, now_s: float, at_s: float) -> None:
        self._desk = desk
        self._random = Random(f"{desk.seed}-{number}")  # noqa: S311 - repeatable on purpose
        self.number = number
        self.id = order.form.name(number)
        self.order = order
        self.problems = order.problems
        self.created_s = now_s
        self.created_at = at_s
        ways = desk.ways
        expires_in_s = ways.expires_in_s
        if expires_in_s is None:
            expires_in_s = order.expires_s or order.form.expires_s
        self.expires_in_s = expires_in_s
        self.phase = Phase.VALIDATING
        self.at = {Phase.VALIDATING: at_s}
        self._since_s = self._running_s = now_s
        self._left = list(range(len(order.lines)))
        self._random.shuffle(self._left)
        self._made: list[Made] = []
        self.counts: Counter[str] = Counter()
        self.usage: Counter[str] = Counter()
        self.output: File | None = None
        self.errors: File | None = None

    @property
    def total(self) -> int:
        """How many lines it has."""
        return len(self.order.lines)

    @property
    def is_miscounted(self) -> bool:
        """Whether its counts lie: they are one too many."""
        return self._desk.ways.miscounted

    @property
    def told_total(self) -> int:
        """How many it says that it has."""
        return self.total + self.is_miscounted

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.phase in ENDED

    @property
    def tokens(self) -> int:
        """The input tokens that it holds of its model's limit."""
        calls = (line.call for line in self.order.lines)
        return sum(call.input_tokens for call in calls if call is not None)

    def wall_at(self, moment_s: float) -> float:
        """Return a moment of the desk's clock in seconds since 1970."""
        return self.created_at + moment_s - self.created_s

    def cancel(self, now_s: float) -> None:
        """Begin to cancel; what has ended stays as it is, and a second time is no change."""
        if not self.has_ended and self.phase is not Phase.CANCELLING:
            self._enter(Phase.CANCELLING, now_s)

    def advance(self, now_s: float) -> None:
        """Do all that has become due."""
        while self._step(now_s):
            pass

    def _step(self, now_s: float) -> bool:
        """Go one phase on; false where nothing is due."""
        ways, before = self._desk.ways, self.phase
        passed_s = now_s - self._since_s
        match self.phase:
            case Phase.VALIDATING if passed_s >= ways.validates_s:
                self._validate(now_s)
            case Phase.RUNNING:
                self._go_on(now_s)
            case Phase.FINALIZING if passed_s >= ways.finalizes_s:
                self._finish(Phase.COMPLETED, now_s)
            case Phase.CANCELLING:
                self._wind_down(now_s)
            case _:
                pass
        return self.phase is not before

    def _go_on(self, now_s: float) -> None:
        expires_s = self.created_s + self.expires_in_s
        self._work(min(now_s, expires_s))
        if not self._left:
            self._enter(Phase.FINALIZING, now_s)
        elif now_s >= expires_s:
            self._finish(Phase.EXPIRED, now_s)

    def _wind_down(self, now_s: float) -> None:
        ends_s = self._since_s + self._desk.ways.cancels_s
        if Phase.RUNNING in self.at:
            self._work(min(now_s, ends_s))
        if now_s >= ends_s:
            self._finish(Phase.CANCELLED, now_s)

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase = phase
        self.at[phase] = self.wall_at(now_s)
        self._since_s = now_s

    def _validate(self, now_s: float) -> None:
        if not self.problems and self._desk.ways.fails:
            self.problems = [Problem(self._desk.ways.fails, "The batch failed.")]
        if not self.problems and self.order.form.checks_tokens_late:
            self.problems = self._desk.too_many_tokens(self)
        if self.problems:
            self._left = []
            self._enter(Phase.FAILED, now_s)
        else:
            self._enter(Phase.RUNNING, now_s)
            self._running_s = now_s

    def count(self, billed: "Answer | None") -> None:
        """Count a line that was run; `billed` is None where it ended in an error."""
        self.counts["failed" if billed is None else "succeeded"] += 1
        if billed is not None:
            self.usage["input"] += billed.input_tokens
            self.usage["cached"] += billed.cached_tokens
            self.usage["output"] += billed.output_tokens
            self.usage["reasoning"] += billed.reasoning_tokens

    def _work(self, now_s: float) -> None:
        """Run the lines that are due."""
        ways = self._desk.ways
        passed_s = now_s - self._running_s
        share = min(1.0, passed_s / ways.takes_s) if ways.takes_s else 1.0
        due = int(self.total * min(share, ways.stall))
        while self._left and self.total - len(self._left) < due:
            self._made.append(run_line(self._desk, self, self._left.pop(), now_s))

    def _finish(self, phase: Phase, now_s: float) -> None:
        self._enter(phase, now_s)
        form = self.order.form
        is_kept = form.keeps_expired or phase is not Phase.EXPIRED
        if phase is not Phase.COMPLETED and not (is_kept and self._desk.ways.partial):
            self._made = []
        if self.order.is_inline:
            self._made.sort(key=lambda made: made.position)
        for index in sorted(self._left):
            unrun = form.unrun(self.order.lines[index].custom_id, phase)
            if unrun is not None:
                self._made.append(Made(index, Entry(None, as_line(unrun)), form.is_apart(0)))
        self.counts["unrun"] = len(self._left)
        self._shelve()

    def _shelve(self) -> None:
        """Make the files of results; one without a line is not made."""
        self.output = self._file("output", [made.entry for made in self._made if not made.is_apart])
        self.errors = self._file("error", [made.entry for made in self._made if made.is_apart])
        self._made = []

    def _file(self, name: str, entries: list[Entry]) -> File | None:
        ways = self._desk.ways
        if self.order.is_inline:  # within a document, nothing can be cut
            ways = msgspec.structs.replace(ways, cut=False)
        entries = spoiled(entries, self.order.form.id_field, ways, self._random)
        if not entries:
            return None
        at = int(self.at[self.phase])
        return self._desk.shelf.put_results(f"batch_{name}_{self.number}.jsonl", entries, at)

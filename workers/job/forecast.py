"""What a call will use, foretold from what the answers before it used: for pace, never for money.

Input: our estimate times the ratio of real to estimated tokens that this provider's model has shown.
Output: what this batch's answers had, else the model's answers, else all that the request allows.
Both are corrected when a call is settled, so a forecast that is too high costs a moment's pace; one
that is too low lets calls leave beyond a limit. That is why every doubt is decided upwards.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jobs.exchange import Usage
from jobs.vocabularies import start_ratio

LOWEST_RATIO, HIGHEST_RATIO = 0.25, 4.0
"""Of real to estimated input. What is further off is not a text's vocabulary but a mistake."""

MEMORY_ANSWERS = 200
"""An average is over all answers up to so many, then each takes such a part of it: noise is gone
by then, and a change of the texts is followed within seconds."""

PRIOR_ANSWERS = 4
"""So many answers does a start ratio weigh as much as: it is a guess."""

ENOUGH_ANSWERS = 32
"""From here on the average alone counts. Of the calls that leave together the short ones are
answered first, so the first few answers promise too little."""

SMALLEST_PART = 0.25
"""Of the bound that a batch without answers of its own is given at least, whatever other batches
had: a model that wrote labels for one may write chapters for the next."""

DOUBT = 2.0
"""Standard errors that are added to an average."""

KEPT = 1024
"""Batches, and models, of which something is remembered; the ones unanswered for longest go."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Ratio:
    """Real over estimated, by tokens: the averages of both, so that short calls count little."""

    real: float
    estimated: float
    count: int = PRIOR_ANSWERS

    @property
    def value(self) -> float:
        """The ratio, within its bounds."""
        return min(max(self.real / self.estimated, LOWEST_RATIO), HIGHEST_RATIO)

    def add(self, real: float, estimated: float) -> None:
        """Take in a call; one beyond the bounds counts as if it were on them."""
        if real < LOWEST_RATIO * estimated:
            real = LOWEST_RATIO * estimated
        elif real > HIGHEST_RATIO * estimated:
            real = HIGHEST_RATIO * estimated
        if self.count < MEMORY_ANSWERS:
            self.count += 1
        self.real += (real - self.real) / self.count
        self.estimated += (estimated - self.estimated) / self.count


@dataclass(slots=True)
class Average:
    """The running mean of a number, and how far the numbers spread around it.

    `learned` is the mean with its doubt, and at least 1.
    """

    mean: float = 0.0
    variance: float = 0.0
    count: int = 0
    learned: float = 1.0

    def add(self, number: float) -> None:
        """Take in a number."""
        if self.count < MEMORY_ANSWERS:
            self.count += 1
        part = 1.0 / self.count
        away = number - self.mean
        self.mean += part * away
        self.variance = (1.0 - part) * (self.variance + part * away * away)
        learned = self.mean + DOUBT * math.sqrt(self.variance * part)
        self.learned = max(1.0, learned)

    def instead_of(self, prior: float) -> float:
        """Return what to expect: `prior` at first, then what was learned.

        The way between is geometric, for the two may be far apart: each answer up to the last that
        is needed takes the same factor off.
        """
        if self.count >= ENOUGH_ANSWERS:
            return self.learned
        return prior * math.pow(self.learned / prior, self.count / ENOUGH_ANSWERS)


class Forecast:
    """What one process has learned of its calls. For one event loop; it begins anew with a process."""

    def __init__(self) -> None:
        self._inputs: OrderedDict[tuple[str, str], Ratio] = OrderedDict()
        self._of_batches: OrderedDict[tuple[int, str], Average] = OrderedDict()
        self._of_models: OrderedDict[str, Average] = OrderedDict()

    def input_tokens(self, provider: str, model: str, estimated: int) -> int:
        """Return the input tokens that the provider will count where we `estimated` so many."""
        ratio = self._inputs.get((provider, model))
        return math.ceil(estimated * (start_ratio(model) if ratio is None else ratio.value))

    def cautious_input_tokens(self, provider: str, model: str, estimated: int) -> int:
        """Return the same with an allowance that fades with the answers that are known.

        The first calls leave before anything is known of their texts. What was reserved too much for
        them is given back when they are answered; what was too little would be a 429.
        """
        ratio = self._inputs.get((provider, model))
        known = PRIOR_ANSWERS if ratio is None else ratio.count
        return math.ceil(self.input_tokens(provider, model, estimated) * (1 + 1 / known))

    def output_tokens(self, batch_id: int, model: str, max_output_tokens: int) -> int:
        """Return the output tokens that a call is likely to have, `max_output_tokens` at most.

        A model that was never answered is expected to use all of its bound, not half of it: where
        bounds are generous that costs the time of the first few answers, and half of a tight one
        would break a limit of output tokens until then.
        """
        of_batch = self._of_batches.get((batch_id, model))
        if of_batch is not None and of_batch.count >= ENOUGH_ANSWERS:
            return min(math.ceil(of_batch.learned), max_output_tokens)
        expected = float(max_output_tokens)
        if expected <= 1.0:
            return max_output_tokens
        of_model = self._of_models.get(model)
        if of_model is not None:
            expected = max(of_model.instead_of(expected), SMALLEST_PART * expected)
        if of_batch is not None:
            expected = of_batch.instead_of(expected)
        return min(math.ceil(expected), max_output_tokens)

    def observe(
        self, provider: str, model: str, batch_id: int, estimated_tokens: int, usage: Usage | None
    ) -> None:
        """Learn from an answer; `estimated_tokens` is the uncorrected estimate of its input.

        Nothing is learned of an answer whose usage is unknown.
        """
        if usage is None:
            return
        real = usage.total_input_tokens
        if estimated_tokens > 0 and real > 0:
            ratio = _kept(
                self._inputs,
                (provider, model),
                lambda: Ratio(estimated_tokens * start_ratio(model), float(estimated_tokens)),
            )
            ratio.add(real, estimated_tokens)
        _kept(self._of_models, model, Average).add(usage.output_tokens)
        _kept(self._of_batches, (batch_id, model), Average).add(usage.output_tokens)


def _kept(kept: OrderedDict[K, V], key: K, new: Callable[[], V]) -> V:
    """Return what is known of a key, as the one that was seen last; the longest unseen one goes."""
    found = kept.get(key)
    if found is not None:
        kept.move_to_end(key)
        return found
    if len(kept) >= KEPT:
        kept.popitem(last=False)
    found = kept[key] = new()
    return found

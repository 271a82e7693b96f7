"""The simulated model with what it costs to ask it: its answers, as their usage tells and bills them.

Live calls and the lines of batches are answered here, so one asks the same of both and gets the same.
"""

from typing import Any

from scripts.simulator.calls import Answer, Call, Finish
from scripts.simulator.dialects import Dialect
from scripts.simulator.model import split, think
from scripts.simulator.options import OutputTokens, SimulatorOptions
from scripts.simulator.prompt_caches import Found
from scripts.simulator.troubles import Trouble

ABSURD_TOKENS = 10**18


class Mind:
    """What answers; `lengths` can change while it runs."""

    def __init__(self, options: SimulatorOptions) -> None:
        self._options = options
        self.lengths: OutputTokens = options.output_tokens

    def answer(self, dialect: Dialect, call: Call, trouble: Trouble | None, found: Found) -> Answer:
        """Return the answer to a call of whose prompt a cache had what was `found`."""
        answer = think(call, self.lengths, trouble)
        reasoning_percent = self._options.reasoning_percent if dialect.REPORTS_REASONING else 0
        split(answer, self._options.cached_percent, reasoning_percent)
        if self._options.prompt_caches:
            answer.cached_tokens = found.cached_tokens
            if call.marked or self._bills_writes(call.model):
                answer.cache_write_tokens = found.written_tokens
        if answer.finish is Finish.REFUSED and not dialect.BILLS_REFUSALS:
            answer.input_tokens = answer.cached_tokens = answer.cache_write_tokens = 0
        return answer

    def _bills_writes(self, model: str) -> bool:
        """Whether a model's price tells of writing a cache: else no answer mentions what wasn't asked for."""
        price = self._options.prices.get(model)
        return price is not None and price.write_picos is not None


def body_of(
    dialect: Dialect, call: Call, answer: Answer, trouble: Trouble | None, number: int
) -> dict[str, Any]:
    """Return the body of a 200, with the lies about usage that a trouble tells."""
    body = dialect.answer(call, answer, number)
    match trouble:
        case Trouble.USAGE_MISSING:
            del body[dialect.USAGE_FIELD]
        case Trouble.USAGE_ABSURD:
            _set_counters(body[dialect.USAGE_FIELD], ABSURD_TOKENS)
        case Trouble.USAGE_NEGATIVE:
            _set_counters(body[dialect.USAGE_FIELD], -1)
        case _:
            pass
    return body


def _set_counters(usage: dict[str, Any], tokens: int) -> None:
    for name, value in usage.items():
        if isinstance(value, int):
            usage[name] = tokens

"""What happens to a request: its fault, its limits, its answer and its price."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, NamedTuple

import msgspec
import orjson

from scripts.simulator.calls import (
    Answer,
    Call,
    Failure,
    Finish,
    Rejected,
)
from scripts.simulator.charging import charge_after, charge_before
from scripts.simulator.dialects import Dialect
from scripts.simulator.faults import Fault, Faults
from scripts.simulator.latency import parse_latency
from scripts.simulator.ledger import Ledger
from scripts.simulator.limits import Limit
from scripts.simulator.model import split, think
from scripts.simulator.options import SimulatorOptions, parse_output_tokens
from scripts.simulator.prompt_caches import NOTHING_FOUND, PromptCaches
from scripts.simulator.quotas import Limits, Quotas, admit, readings
from scripts.simulator.routes import Route
from scripts.simulator.troubles import Trouble

JSON = "application/json"
EVENTS = "text/event-stream"
WEB_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to this network."
ABSURD_TOKENS = 10**18

WITHOUT_WORK = frozenset({Trouble.HANG, Trouble.RESET})
"""Troubles that come before the model did anything that costs."""

UNANSWERED = WITHOUT_WORK | {Trouble.CLOSE, Trouble.CUT, Trouble.HTML, Trouble.BADJSON}
"""Troubles after which the caller does not hold the model's answer."""


class Reply(NamedTuple):
    """What goes over the wire."""

    status: int
    headers: dict[str, str]
    content_type: str
    body: bytes


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change while running; what is absent stays.

    With `offline_s`, nothing listens on the port for so long, and open connections are closed.
    """

    faults: list[Fault] | None = None
    limits: list[Limit] | None = None
    latency: str | None = None
    output_tokens: str | None = None
    offline_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] | None = None


@dataclass(slots=True)
class Exchange:
    """One request from its arrival to its end; its reply is due `delay_s` after its arrival."""

    dialect: Dialect
    model: str
    call: Call | None
    failure: Failure | None
    answer: Answer | None
    fault: Fault | None
    delay_s: float
    quotas: Quotas
    ledger: Ledger
    row: int
    now: Callable[[], float]

    @property
    def trouble(self) -> Trouble | None:
        """What goes wrong with this request, None for nothing or an error status."""
        return None if self.fault is None else self.fault.trouble

    def reply(self) -> Reply:
        """Return the reply, with the rates as they are now."""
        rates = readings(self.quotas, self.now())
        headers = self.dialect.headers(rates, self.answer, self.row)
        if self.failure is not None:
            error = self.dialect.error(self.failure, self.model, self.row)
            return Reply(error.status, headers | error.headers, JSON, orjson.dumps(error.body))
        return self._success(headers)

    @property
    def is_streamed(self) -> bool:
        """Whether the answer goes out in events."""
        return self.call is not None and self.call.is_streamed and self.failure is None

    def events(self) -> list[bytes]:
        """Return the answer as the events of a stream; what is a lie in it is one there, too."""
        assert self.call is not None
        return list(self.dialect.events(self._body(), self.call))

    def _success(self, headers: dict[str, str]) -> Reply:
        body = self._body()
        match self.trouble:
            case Trouble.HTML:
                return Reply(200, {}, "text/html", WEB_PAGE)
            case Trouble.BADJSON:
                return Reply(200, headers, JSON, orjson.dumps(body)[:-2] + b",,")
            case _:
                kind = EVENTS if self.is_streamed else JSON
                return Reply(200, headers, kind, orjson.dumps(body))

    def _body(self) -> dict[str, Any]:
        assert self.call is not None
        assert self.answer is not None
        body = self.dialect.answer(self.call, self.answer, self.row)
        match self.trouble:
            case Trouble.USAGE_MISSING:
                del body[self.dialect.USAGE_FIELD]
            case Trouble.USAGE_ABSURD:
                _set_counters(body[self.dialect.USAGE_FIELD], ABSURD_TOKENS)
            case Trouble.USAGE_NEGATIVE:
                _set_counters(body[self.dialect.USAGE_FIELD], -1)
            case _:
                pass
        return body

    def end(self, status: int, *, whole: bool) -> None:
        """Settle. `whole`: the kernel took all there was to send; `status` is 0 if nothing was."""
        billed = None if self.trouble in WITHOUT_WORK else self.answer
        self.ledger.close(
            self.row,
            status,
            billed,
            answered=whole and billed is not None and self.trouble not in UNANSWERED,
        )
        tokens = (billed.input_tokens, billed.output_tokens) if billed is not None else (0, 0)
        charge = charge_after(self.dialect.NAME, *tokens)
        for quota in self.quotas if self.failure is None else ():
            quota.end(charge, self.now())


def _set_counters(usage: dict[str, Any], tokens: int) -> None:
    for name, value in usage.items():
        if isinstance(value, int):
            usage[name] = tokens


class Provider:
    """The simulated providers.

    `now` is a monotonic clock in seconds. `on_close` is given each row of the ledger once it is
    final, `on_offline` how many seconds nobody is to be reached.
    """

    def __init__(
        self,
        options: SimulatorOptions,
        now: Callable[[], float],
        on_close: Callable[[bytes], None] | None = None,
        on_offline: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._options = options
        self._on_offline = on_offline
        self._now = now
        self._on_close = on_close
        self.reset()

    def reset(self) -> None:
        """Begin anew, with an empty ledger, as at the start; calls in flight end unseen."""
        options = self._options
        self._started_s = self._now()
        self._random = Random(options.seed)  # noqa: S311 - repeatable on purpose
        self._latency = options.latency
        self._lengths = options.output_tokens
        self._faults = Faults(options.faults, options.seed)
        self._limits = Limits(options.limits, self._started_s, self._started_s)
        self._caches = PromptCaches()
        self.ledger = Ledger(options.prices, self._on_close)

    def change(self, change: Change) -> dict[str, Any]:
        """Make a change and return what is now in force; new limits begin with new buckets.

        Raises:
            ValueError: a latency or a length that can't be; nothing is changed.
        """
        latency = parse_latency(change.latency) if change.latency is not None else self._latency
        lengths = self._lengths
        if change.output_tokens is not None:
            lengths = parse_output_tokens(change.output_tokens)
        self._latency, self._lengths = latency, lengths
        if change.faults is not None:
            self._faults = Faults(change.faults, self._options.seed)
        if change.limits is not None:
            self._limits = Limits(change.limits, self._now(), self._started_s)
        if change.offline_s is not None:
            self._on_offline(change.offline_s)
        return {
            "faults": self._faults.describe(),
            "limits": [msgspec.structs.asdict(limit) for limit in self._limits.limits],
            "latency": str(self._latency),
            "output_tokens": str(self._lengths),
        }

    def rate(self) -> dict[str, Any]:
        """Return, by second since the start or the last reset, what was asked, taken and refused.

        `now_s` is the present; a request is counted in the second of its arrival. Quotas that no
        request has met yet are absent.
        """
        return {
            "now_s": self._now() - self._started_s,
            "by_status": self.ledger.by_second(),
            "limits": self._limits.describe(),
        }

    def models(self) -> list[str]:
        """Return the models that have a price; any other name is answered too."""
        return list(self._options.prices)

    def begin(self, route: Route, key: str, version: str, body: bytes) -> Exchange:
        """Return what is to happen to a request that was read; its row in the ledger is open."""
        dialect, model, now = route.dialect, route.model, self._now()
        call: Call | None = None
        failure: Failure | None = None
        try:
            call = dialect.read(body, model, version)
        except Rejected as rejected:
            failure = rejected.failure
        else:
            model = call.model
            call.is_streamed |= route.is_streamed
        fault = self._faults.draw(dialect.NAME, model, key, call)
        job_id = "" if call is None else call.job_id
        row = self.ledger.open(job_id, dialect.NAME, model, now - self._started_s)
        exchange = Exchange(
            dialect, model, call, failure, None, fault, 0.0, (), self.ledger, row, self._now
        )
        if fault is not None and fault.failure is not None:
            exchange.failure = Failure(fault.failure, wait_s=fault.wait_s)
        if call is not None and exchange.failure is None:
            self._admit(exchange, call, key, now)
        return exchange

    def _admit(self, exchange: Exchange, call: Call, key: str, now: float) -> None:
        dialect = exchange.dialect
        exchange.quotas = self._limits.quotas(dialect.NAME, call.model, key)
        found = NOTHING_FOUND
        if self._options.prompt_caches:
            found = self._caches.look(dialect.NAME, key, call, now)
        charge = charge_before(dialect.NAME, call, found.cached_tokens)
        exchange.failure = admit(exchange.quotas, charge, now)
        if exchange.failure is not None:
            return
        answer = think(call, self._lengths, exchange.trouble)
        reasoning_percent = self._options.reasoning_percent if dialect.REPORTS_REASONING else 0
        split(answer, self._options.cached_percent, reasoning_percent)
        if self._options.prompt_caches:
            answer.cached_tokens = found.cached_tokens
            if call.marked or self._bills_writes(call.model):
                answer.cache_write_tokens = found.written_tokens
        if answer.finish is Finish.REFUSED and not dialect.BILLS_REFUSALS:
            answer.input_tokens = answer.cached_tokens = answer.cache_write_tokens = 0
        exchange.answer = answer
        works_s = self._latency.draw_s(self._random)
        exchange.delay_s = works_s + sum(quota.queue_s(works_s, now) for quota in exchange.quotas)
        if exchange.fault is not None and exchange.trouble is Trouble.SLOW:
            exchange.delay_s += exchange.fault.delay_s
        if exchange.trouble not in WITHOUT_WORK:
            self._caches.keep(found, now + exchange.delay_s)

    def _bills_writes(self, model: str) -> bool:
        """Whether a model's price tells of writing a cache: else no answer mentions what wasn't asked for."""
        price = self._options.prices.get(model)
        return price is not None and price.write_picos is not None

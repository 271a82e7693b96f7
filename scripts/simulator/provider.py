"""What happens to a request: its fault, its limits, its answer and its price."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any

import msgspec

from scripts.simulator.batches.desk import Desk
from scripts.simulator.batches.ways import changed
from scripts.simulator.calls import Answer, Call, Failure, Rejected
from scripts.simulator.charging import charge_after, charge_before
from scripts.simulator.dialects import Dialect
from scripts.simulator.faults import Fault, Faults
from scripts.simulator.latency import parse_latency
from scripts.simulator.ledger import Ledger
from scripts.simulator.limits import Limit
from scripts.simulator.mind import Mind, body_of
from scripts.simulator.options import SimulatorOptions, parse_output_tokens
from scripts.simulator.prompt_caches import NOTHING_FOUND, PromptCaches
from scripts.simulator.quotas import Limits, Quotas, admit, readings
from scripts.simulator.replies import EVENTS, GARBLED, Reply, garbled, json_reply
from scripts.simulator.routes import Route
from scripts.simulator.troubles import UNANSWERED, WITHOUT_WORK, Trouble


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change while running; what is absent stays.

    `batches` has those fields of `Ways` that change. With `offline_s`, nothing listens on the port for so
    long, and open connections are closed.
    """

    faults: list[Fault] | None = None
    limits: list[Limit] | None = None
    latency: str | None = None
    output_tokens: str | None = None
    batches: dict[str, Any] = {}
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
            return json_reply(error.status, error.body, headers | error.headers)
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
        reply = json_reply(200, self._body(), headers)
        if self.trouble in GARBLED:
            return garbled(reply, self.trouble)
        return reply._replace(content_type=EVENTS) if self.is_streamed else reply

    def _body(self) -> dict[str, Any]:
        assert self.call is not None
        assert self.answer is not None
        return body_of(self.dialect, self.call, self.answer, self.trouble, self.row)

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
        self._mind = Mind(options)
        self._faults = Faults(options.faults, options.seed)
        self._limits = Limits(options.limits, self._started_s, self._started_s)
        self._caches = PromptCaches()
        self.ledger = Ledger(options.prices, self._on_close)
        self.batches = Desk(options, self._mind, self._faults, self.ledger, self._now)

    def change(self, change: Change) -> dict[str, Any]:
        """Make a change and return what is now in force; new limits begin with new buckets.

        Raises:
            ValueError: a latency or a length that can't be; nothing is changed.
        """
        latency = parse_latency(change.latency) if change.latency is not None else self._latency
        lengths = self._mind.lengths
        if change.output_tokens is not None:
            lengths = parse_output_tokens(change.output_tokens)
        ways = changed(self.batches.ways, change.batches)
        self._latency, self._mind.lengths, self.batches.ways = latency, lengths, ways
        if change.faults is not None:
            self._faults = self.batches.faults = Faults(change.faults, self._options.seed)
        if change.limits is not None:
            self._limits = Limits(change.limits, self._now(), self._started_s)
        if change.offline_s is not None:
            self._on_offline(change.offline_s)
        return {
            "faults": self._faults.describe(),
            "limits": [msgspec.structs.asdict(limit) for limit in self._limits.limits],
            "latency": str(self._latency),
            "output_tokens": str(self._mind.lengths),
            "batches": msgspec.structs.asdict(self.batches.ways),
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
        exchange.answer = self._mind.answer(dialect, call, exchange.trouble, found)
        works_s = self._latency.draw_s(self._random)
        exchange.delay_s = works_s + sum(quota.queue_s(works_s, now) for quota in exchange.quotas)
        if exchange.fault is not None and exchange.trouble is Trouble.SLOW:
            exchange.delay_s += exchange.fault.delay_s
        if exchange.trouble not in WITHOUT_WORK:
            self._caches.keep(found, now + exchange.delay_s)

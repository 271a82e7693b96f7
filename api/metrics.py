"""The figures of the whole for Prometheus: what rows and the gate tell, and what this process has answered.

Names that users choose are no labels, but for models: of those the ones most called for have a label.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.loop_lag import lag_histogram
from jobs.pools import PoolState
from jobs.store.census import Census, LedgerTotal

MOST_MODELS = 200
"""That have a label of their own: anybody who may submit can make names up."""

OTHER = "other"

LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

NANOS_PER_USD = 1_000_000_000

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Answered:
    """What this process has answered, and how late its loop is."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "tidemill_http_requests",
            "Answers by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "tidemill_http_request_seconds",
            "From the head of a request to the head of its answer, by route.",
            ("route",),
            registry=self.registry,
            buckets=LATENCY_BOUNDS_S,
        )
        self.lag = lag_histogram()
        self.registry.register(self.lag)


class Measured:
    """The middleware that counts answers, around everything else."""

    def __init__(self, app: ASGIApp, answered: Answered) -> None:
        self.app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s = time.perf_counter()

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = _route_of(scope)
                method = scope["method"] if scope["method"] in METHODS else OTHER
                status = str(message["status"])
                self._answered.requests.labels(route, method, status).inc()
                self._answered.latency.labels(route).observe(time.perf_counter() - began_s)
            await send(message)

        await self.app(scope, receive, send_and_count)


def _route_of(scope: Scope) -> str:
    """Return the pattern of a request's path: of what no route knows, one word for all."""
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(route, "path", None) or OTHER


class Whole:
    """What the rows and the gate told, as figures."""

    def __init__(self, census: Census, pools: Sequence[PoolState] | None, listeners: int) -> None:
        self._census = census
        self._pools = pools
        self._listeners = listeners

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        census = self._census
        yield _gauge(
            "tidemill_slices",
            "Slices of unfinished batches by queue and state: waiting and fed are the depth.",
            ("queue", "state"),
            [((queue, state), count) for queue, state, count in census.slices],
        )
        yield _gauge(
            "tidemill_batches",
            "Unfinished batches by state.",
            ("state",),
            [((state,), count) for state, count in census.batches],
        )
        for name, said, value in (
            ("tidemill_in_flight_jobs", "Calls in flight, over all workers.", census.in_flight),
            ("tidemill_workers", "Worker processes that live.", census.workers),
            ("tidemill_worker_slots", "Slices that they can have open.", census.slots),
            (
                "tidemill_reserved_usd",
                "Money that calls in flight may cost at most.",
                census.reserved_nanos / NANOS_PER_USD,
            ),
            ("tidemill_listeners", "Who listens to batches at this process.", self._listeners),
            ("tidemill_gate_up", "Whether the gate's Redis answers.", self._pools is not None),
        ):
            yield _gauge(name, said, (), [((), value)])
        yield from _ledger(census.ledger)
        yield from _gate(self._pools or ())


def _ledger(totals: Sequence[LedgerTotal]) -> Iterator[Metric]:
    calls: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for total in totals:
        calls[total.provider, total.pool, total.model] += total.attempts
    named = set(sorted(calls, key=lambda key: (-calls[key], key))[:MOST_MODELS])
    attempts: defaultdict[tuple[str, ...], float] = defaultdict(float)
    tokens: defaultdict[tuple[str, ...], float] = defaultdict(float)
    money: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for total in totals:
        key = (total.provider, total.pool, total.model)
        if key not in named:
            key = (total.provider, total.pool, OTHER)
        attempts[(*key, total.outcome)] += total.attempts
        tokens[(*key, "input")] += total.input_tokens
        tokens[(*key, "cached_input")] += total.cached_input_tokens
        tokens[(*key, "cache_write")] += total.cache_write_tokens
        tokens[(*key, "output")] += total.output_tokens
        money[key] += total.cost_nanos / NANOS_PER_USD
    pool = ("provider", "pool", "model")
    yield _counter(
        "tidemill_attempts",
        "Calls that ended, by outcome; `limited` is a 429.",
        (*pool, "outcome"),
        attempts.items(),
    )
    yield _counter("tidemill_tokens", "Tokens, by kind.", (*pool, "kind"), tokens.items())
    yield _counter("tidemill_cost_usd", "Money that was spent.", pool, money.items())


def _gate(pools: Sequence[PoolState]) -> Iterator[Metric]:
    """Yield the pools as wholes; of their models the limits are in `GET /api/pools`."""
    whole = [state for state in pools if state.models is None]
    paced = [((s.provider, s.pool, d.name), s, d) for s in whole for d in s.dimensions]
    dimension, pool = ("provider", "pool", "dimension"), ("provider", "pool")
    yield _gauge(
        "tidemill_pool_rate",
        "What is used of a dimension, per its own period.",
        dimension,
        [(labels, found.rate) for labels, _, found in paced],
    )
    yield _gauge(
        "tidemill_pool_limit",
        "The smaller of the configured and the learned limit.",
        dimension,
        [
            (labels, min(limits))
            for labels, _, found in paced
            if (limits := [n for n in (found.configured, found.learned) if n is not None])
        ],
    )
    yield _gauge(
        "tidemill_pool_in_flight",
        "Calls in flight at a pool.",
        pool,
        [((state.provider, state.pool), state.in_flight) for state in whole],
    )
    yield _gauge(
        "tidemill_pool_blocked",
        "1 while nothing may leave to a pool.",
        pool,
        [((s.provider, s.pool), s.blocked_until is not None) for s in whole],
    )
    yield _gauge(
        "tidemill_pool_breaker_open",
        "1 while a pool's breaker is not closed.",
        pool,
        [((s.provider, s.pool), s.breaker != "closed") for s in whole],
    )


Samples = Sequence[tuple[tuple[str, ...], float]]


def _gauge(name: str, said: str, labels: Sequence[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, said, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def _counter(name: str, said: str, labels: Sequence[str], samples: object) -> Metric:
    family = CounterMetricFamily(name, said, labels=labels)
    for values, value in samples:  # type: ignore[attr-defined]
        family.add_metric(values, float(value))
    return family

"""How long a submission takes at the limits of its pools, if nothing else runs there. Pure.

A pool does a share of the work each second, which its tightest limit decides; the pools of a provider
share its work, and providers work side by side. How long a call takes is not known beforehand, so what
only limits the calls in flight tells no time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jobs.configuration import Configuration, Limits, Pool
from jobs.pools import DAILY, KINDS, PERIODS_S, PoolState, model_scope
from jobs.quote.tally import Range, Tally

DAY_S = 86_400

_KINDS = KINDS | {"rpd": 1, "tpd": 2}
"""Which of a scope's sums each dimension counts: calls, tokens, input tokens, output tokens."""

_NO_TIME = "no limit of {pool} tells how many calls it takes in a minute"


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds at each end of the quote, and the limit that decides about the high one.

    Without seconds, `unknown_because` says why there are none.
    """

    low_s: float | None
    high_s: float | None
    limited_by: str | None = None
    unknown_because: str | None = None
    surely: "Limit | None" = None
    """The limit that decides about the low one."""


class Limit(NamedTuple):
    """A limit that sets a pace: what it is called, and how high it is."""

    name: str
    value: float


class _Work(NamedTuple):
    """What calls to a model take at one end of the quote, by `_KINDS`."""

    model: str
    amounts: tuple[int, int, int, int]


class _Pace(NamedTuple):
    """The share of its provider's work that a pool does per second, and the limit that decides it."""

    share_per_s: float
    limited_by: str
    limit: Limit


Known = Mapping[tuple[str, str, str | None], PoolState]
"""What the gate knows of a provider's pool, and of a scope of its models; None is all of them."""


def known_states(states: Sequence[PoolState]) -> Known:
    """Return what the gate knows, to be looked up."""
    return {(state.provider, state.pool, state.models): state for state in states}


def duration(tallies: Sequence[Tally], configuration: Configuration, known: Known) -> Duration:
    """Return how long these jobs take; `known` is empty where the gate can't be asked."""
    low_s, high_s, limited_by, surely = 0.0, 0.0, None, None
    for provider in sorted({tally.target.provider for tally in tallies}):
        own = [tally for tally in tallies if tally.target.provider == provider]
        pools = configuration.providers[provider].pools
        low = [_pace(_work(own, _low_end), provider, pool, known) for pool in pools]
        high = [_pace(_work(own, _high_end), provider, pool, known) for pool in pools]
        for pool, pace in zip(pools, high, strict=True):
            if pace is None:
                return Duration(
                    None, None, unknown_because=_NO_TIME.format(pool=f"{provider}/{pool.name}")
                )
        fastest = max(pace for pace in high if pace is not None)
        own_low_s, own_high_s = _together_s(low), _together_s(high)
        if own_low_s > low_s:
            low_s, surely = own_low_s, max(pace for pace in low if pace is not None).limit
        if own_high_s > high_s:
            high_s, limited_by = own_high_s, fastest.limited_by
    return Duration(low_s, high_s, limited_by, surely=surely)


def _low_end(span: Range) -> int:
    return span.low


def _high_end(span: Range) -> int:
    return span.high


def _work(tallies: Sequence[Tally], end: Callable[[Range], int]) -> list[_Work]:
    """Return what jobs take at one end of their quote."""
    return [
        _Work(
            tally.target.model,
            (
                tally.calls,
                end(tally.counted_tokens),
                end(tally.input_tokens),
                end(tally.output_tokens),
            ),
        )
        for tally in tallies
    ]


def _together_s(paces: Sequence[_Pace | None]) -> float:
    """Return how long pools take together. One without a limit at this end takes no time."""
    if any(pace is None for pace in paces):
        return 0.0
    return 1.0 / sum(pace.share_per_s for pace in paces if pace is not None)


def _pace(work: Sequence[_Work], provider: str, pool: Pool, known: Known) -> _Pace | None:
    """Return the pace of a pool that would do all of the work; None if nothing limits it."""
    name = f"{provider}/{pool.name}"
    paces = list(_paces(name, work, pool.limits, known.get((provider, pool.name, None))))
    scopes = {model_scope(pool, piece.model)[0] for piece in work}
    for scope in scopes:
        own = [piece for piece in work if model_scope(pool, piece.model)[0] == scope]
        limits = model_scope(pool, own[0].model)[2]
        state = known.get((provider, pool.name, scope))
        paces += _paces(f"{name}/{scope}", own, limits, state)
    return min(paces, default=None)


def _paces(
    scope: str, work: Sequence[_Work], limits: Limits, state: PoolState | None
) -> Iterator[_Pace]:
    """Yield what each limit of a scope allows."""
    amounts = [sum(column) for column in zip(*(piece.amounts for piece in work), strict=True)]
    for name, limit in _limits(limits, state).items():
        amount = amounts[_KINDS[name] - 1]
        # A day's limit is there at once, others by the second.
        if amount and not (name in DAILY and amount <= limit):
            period_s = PERIODS_S.get(name, DAY_S)
            found = Limit(f"{name} of {scope}", limit)
            yield _Pace(limit / period_s / amount, f"{name} of {scope} ({limit:,})", found)
    if state is not None and state.found_per_s:
        pace = f"the pace that was found for {scope} ({state.found_per_s:,.1f} calls a second)"
        found = Limit(f"the pace that was found for {scope}", state.found_per_s)
        yield _Pace(state.found_per_s / amounts[0], pace, found)


def _limits(limits: Limits, state: PoolState | None) -> dict[str, int]:
    """Return the limits of a scope by their names: the smaller of configured and learned."""
    found: dict[str, int] = {
        name: limit for name in (*PERIODS_S, *DAILY) if (limit := getattr(limits, name)) is not None
    }
    for dimension in () if state is None else state.dimensions:
        if dimension.learned is not None:
            found[dimension.name] = min(
                dimension.learned, found.get(dimension.name, dimension.learned)
            )
    return found

"""Which provider serves a model: what the name in a job line stands for."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jobs.configuration import FAILOVER_AFTER_S, Configuration, ProtocolName, Provider, Route
from jobs.errors import UnknownModel
from jobs.exchange import Ability, Endpoint, Passed

KNOWN_NAMES = 1024
"""Resolved names that are kept. A batch shares a few; a hostile one could invent a million."""

COMPARED_CHARACTERS = 200
"""Of an unknown name that are compared with known ones; comparing takes the square of it."""


ABILITIES: dict[ProtocolName, frozenset[Ability]] = {
    ProtocolName.ANTHROPIC: frozenset(Ability),
    ProtocolName.MISTRAL: frozenset(Ability),
}
"""What formats have words for, beside texts. OpenAI's gets such a body as a chat completion, and Gemini's
words for it are not known here well enough."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model at a provider, by the names of the configuration and of the provider."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """The targets that may serve a job, in the order of the configuration; at least one.

    `weights` are the shares of the jobs that have each target first; none means that all jobs have
    the first one first.
    """

    targets: tuple[Target, ...]
    weights: tuple[int, ...] = ()
    failover_after_s: float = FAILOVER_AFTER_S

    def order(self, batch_id: int, seq: int) -> tuple[Target, ...]:
        """Return the targets in the order in which this job tries them: always the same one."""
        if not self.weights:
            return self.targets
        first = self._first(batch_id, seq)
        return (self.targets[first], *self.targets[:first], *self.targets[first + 1 :])

    def queue(self, batch_id: int, seq: int) -> str:
        """Return the queue of this job: its first target's provider."""
        first = self._first(batch_id, seq) if self.weights else 0
        return self.targets[first].provider

    def _first(self, batch_id: int, seq: int) -> int:
        """Choose by weight. Steps of the golden ratio spread evenly, also over a few jobs."""
        ticket = ((batch_id + seq) * _GOLDEN_64 % _TURN_64) * sum(self.weights) // _TURN_64
        for index, weight in enumerate(self.weights):
            ticket -= weight
            if ticket < 0:
                return index
        raise AssertionError("a ticket is below the sum of the weights")


_TURN_64 = 1 << 64
_GOLDEN_64 = 0x9E37_79B9_7F4A_7C15
"""The golden ratio's part of a full turn of 64 bits."""


class Catalogue:
    """The models that the configuration can serve."""

    def __init__(self, configuration: Configuration) -> None:
        self._providers = configuration.providers
        self.max_image_tokens = configuration.max_image_tokens
        self._routes = {name: _resolved(route) for name, route in configuration.routes.items()}
        # Unknown names are remembered as well: the million lines of a batch may share one.
        self._resolutions = lru_cache(maxsize=KNOWN_NAMES)(self._look_up)

    def resolve(self, model: str) -> Resolved:
        """Return what serves a route's name, `PROVIDER/NAME`, or a bare model name, in this order.

        A bare name goes to the first provider of the file with a pattern that matches it.

        Raises:
            UnknownModel: nothing serves it; `closest` are up to three names that resolve.
        """
        resolution = self._resolutions(model)
        if isinstance(resolution, Resolved):
            return resolution
        raise UnknownModel(model, resolution, has_providers=bool(self._providers))

    def untold(self, provider: str, passed: Passed) -> str | None:
        """See `untold`, of a provider by its name."""
        return untold(self._providers[provider], passed)

    def names(self) -> dict[str, str]:
        """Return the names that can be listed, each with who serves it: a provider, or `tidemill`.

        Routes first. A provider's patterns stand for names that nobody but it could list.
        """
        listed = {}
        for name in self._names():
            provider = name.partition("/")[0]
            if name not in self._routes and provider not in self._providers:
                provider = self.resolve(name).targets[0].provider
            listed[name] = "tidemill" if name in self._routes else provider
        return listed

    def _look_up(self, model: str) -> Resolved | tuple[str, ...]:
        if route := self._routes.get(model):
            return route
        provider, _, name = model.partition("/")
        if name and provider in self._providers:
            return Resolved((Target(provider, name),))
        for provider, configured in self._providers.items():
            if configured.serves(model):
                return Resolved((Target(provider, model),))
        names = dict.fromkeys(self._names())
        return tuple(difflib.get_close_matches(model[:COMPARED_CHARACTERS], names, n=3))

    def _names(self) -> Iterator[str]:
        """The names that are known to resolve: patterns stand for more, but can't be listed."""
        yield from self._routes
        for provider, configured in self._providers.items():
            for pattern in configured.models:
                if not set("*?[") & set(pattern):
                    yield pattern
                    yield f"{provider}/{pattern}"
        for route in self._routes.values():
            for target in route.targets:
                yield f"{target.provider}/{target.model}"
                if self._providers[target.provider].serves(target.model):
                    yield target.model


def untold(provider: Provider, passed: Passed) -> str | None:
    """Return the path of what a provider can't be asked of a body; None where it can be asked all."""
    if provider.takes(passed.endpoint) or (
        passed.in_chat is not None and provider.takes(Endpoint.CHAT)
    ):
        return None
    if passed.unmapped:
        return passed.unmapped[0]
    able = ABILITIES.get(provider.protocol, frozenset())
    return next((need.path for need in passed.needs if need.ability not in able), None)


def _resolved(route: Route) -> Resolved:
    targets = tuple(Target(*target.split("/", 1)) for target in route.targets)
    return Resolved(targets, route.weights, route.failover_after_s)

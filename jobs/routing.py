"""Which provider serves a model: what the name in a job line stands for."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jobs.configuration import Configuration
from jobs.errors import UnknownModel

KNOWN_NAMES = 1024
"""Resolved names that are kept. A batch shares a few; a hostile one could invent a million."""

COMPARED_CHARACTERS = 200
"""Of an unknown name that are compared with known ones; comparing takes the square of it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model at a provider, by the names of the configuration and of the provider."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """The targets that may serve a job, best first; at least one."""

    targets: tuple[Target, ...]

    @property
    def queue(self) -> str:
        """The queue of a job: its first target's provider."""
        return self.targets[0].provider


class Catalogue:
    """The models that the configuration can serve."""

    def __init__(self, configuration: Configuration) -> None:
        self._providers = configuration.providers
        self._routes = {
            name: Resolved(tuple(Target(*target.split("/", 1)) for target in route.targets))
            for name, route in configuration.routes.items()
        }
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
        raise UnknownModel(model, resolution)

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

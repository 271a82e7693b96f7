"""The kinds of jobs. A new one is a class in a file of its own and an entry here."""

from collections.abc import Mapping
from types import MappingProxyType

from jobs.kinds.extraction import Extraction
from jobs.kinds.generation import Generation
from jobs.kinds.kind import Kind

__all__ = ["KINDS"]

KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (Generation(), Extraction())}
)
"""Every kind, by the name that lines use."""

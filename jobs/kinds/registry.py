"""Kinds of other packages: entry points of the group `tidemill.kinds`, each a class like ours.

A package of an operator's own says in its pyproject.toml

    [project.entry-points."tidemill.kinds"]
    summary = "our_kinds:Summary"

and is installed beside Tidemill wherever the API or a worker runs.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

import msgspec

from jobs.errors import ConfigurationError
from jobs.kinds.kind import Kind

GROUP = "tidemill.kinds"
_FIELDS_OF_ALL = frozenset({"custom_id", "kind", "model"})


def with_installed(
    own: Iterable[Kind], installed: Iterable[EntryPoint] | None = None
) -> Mapping[str, Kind]:
    """Return our own kinds and those of installed packages, by name.

    Raises:
        ConfigurationError: one can't be loaded, is no kind, or has a name that is taken.
    """
    kinds = {kind.name: kind for kind in own}
    for entry in entry_points(group=GROUP) if installed is None else installed:
        kind = _loaded(entry)
        if kind.name in kinds:
            raise ConfigurationError(f"{_named(entry)}: there is another kind of this name")
        kinds[kind.name] = kind
    return MappingProxyType(kinds)


def _loaded(entry: EntryPoint) -> Kind:
    try:
        kind = entry.load()()
        line_type = kind.line_type
        fits = (
            kind.name == entry.name
            and issubclass(line_type, msgspec.Struct)
            and set(line_type.__struct_fields__) >= _FIELDS_OF_ALL
            and callable(kind.check)
            and callable(kind.plan)
        )
    except Exception as error:
        raise ConfigurationError(
            f"{_named(entry)} can't be loaded: {type(error).__name__}: {error}"
        ) from error
    if not fits:
        raise ConfigurationError(
            f"{_named(entry)} is no kind: expected a class with `name` (as the entry point's), "
            f"`line_type` (a msgspec.Struct with {', '.join(sorted(_FIELDS_OF_ALL))}), `check` and "
            "`plan`"
        )
    loaded: Kind = kind
    return loaded


def _named(entry: EntryPoint) -> str:
    package = entry.dist.name if entry.dist is not None else "an unknown package"
    return f"the kind `{entry.name}` of {package} ({entry.value})"

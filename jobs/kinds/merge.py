"""Values that were found in the parts of a text, merged into one.

The rules are by type: objects are merged property by property; of lists the union is taken, without
doubles, where items that share their key are one and merged in turn; of anything else the first that is
not null stands, and where a later part says otherwise, that is noted as a conflict.
"""

from typing import Any

import msgspec

_ROOT = ""


class Merge:
    """The merged value of the parts that were added. `conflicts` are JSON Pointers, each once."""

    def __init__(self, merge_key: str | None = None) -> None:
        self.value: Any = None
        self.conflicts: list[str] = []
        self._key = merge_key
        self._places: dict[str, dict[bytes, int]] = {}
        """Where the items of a list (its pointer) are, by what makes them the same."""

    def add(self, value: Any) -> dict[str, str]:
        """Merge the next part's value in.

        Returns:
            Where its units (`units_of`) have come to be; those are missing that stand in conflict.
        """
        moved: dict[str, str] = {}
        copy = msgspec.json.decode(msgspec.json.encode(value))
        self.value = self._merged(self.value, copy, _ROOT, moved)
        return {unit: moved[unit] for unit in units_of(value) if unit in moved}

    def _merged(self, left: Any, right: Any, pointer: str, moved: dict[str, str]) -> Any:
        if right is None:
            return left
        if isinstance(right, dict) and isinstance(left, dict | None):
            left = {} if left is None else left
            for name, inner in right.items():
                place = f"{pointer}/{escaped(name)}"
                left[name] = self._merged(left.get(name), inner, place, moved)
            moved[pointer] = pointer
            return left
        if isinstance(right, list) and isinstance(left, list | None):
            return self._union([] if left is None else left, right, pointer, moved)
        if left is None or _same(left) == _same(right):
            moved[pointer] = pointer
            return right
        if pointer not in self.conflicts:
            self.conflicts.append(pointer)
        return left

    def _union(
        self, left: list[Any], right: list[Any], pointer: str, moved: dict[str, str]
    ) -> list[Any]:
        places = self._places.setdefault(pointer, {})
        for index, item in enumerate(right):
            identity = self._identity(item)
            at = places.setdefault(identity, len(left))
            inner: dict[str, str] = {}
            place = f"{pointer}/{at}"
            if at == len(left):
                left.append(self._merged(None, item, place, inner))
            else:
                left[at] = self._merged(left[at], item, place, inner)
            moved[f"{pointer}/{index}"] = place
        return left

    def _identity(self, item: Any) -> bytes:
        if isinstance(item, dict) and self._key is not None and item.get(self._key) is not None:
            return b"key:" + _same(item[self._key])
        return _same(item)


def units_of(value: Any) -> list[str]:
    """Return the JSON Pointers of a value's units: its properties, and the items of those that are lists.

    Of a list they are the items, of anything else the value itself. null is nothing that was found.
    """
    match value:
        case dict():
            return [
                unit
                for name, inner in value.items()
                for unit in _listed(f"/{escaped(name)}", inner)
            ]
        case _:
            return _listed(_ROOT, value)


def _listed(pointer: str, value: Any) -> list[str]:
    if isinstance(value, list):
        return [f"{pointer}/{index}" for index in range(len(value))]
    return [] if value is None else [pointer]


def escaped(name: str) -> str:
    """Return a property's name as a part of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _same(value: Any) -> bytes:
    """Return the same bytes for values that are the same: to Python, 1 equals True."""
    return msgspec.json.encode(value, order="deterministic")

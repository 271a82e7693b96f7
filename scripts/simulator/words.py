"""`name=value,name=value` from a command line, as a checked value."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_words(wanted: type[T], subject: str, text: str, given: Mapping[str, str]) -> T:
    """Return `text`, with the `given` fields, as a `wanted`.

    Raises:
        ValueError: a word without `=`, an unknown field or a value out of range; names `subject`.
    """
    fields = dict(given)
    for word in filter(None, text.split(",")):
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{subject}: {word!r} is not name=value")
        fields[name.strip()] = value.strip()
    try:
        return msgspec.convert(fields, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{subject}: {error}") from None

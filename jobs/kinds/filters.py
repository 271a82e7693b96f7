"""What happens to the variables of a template: how they are looked at, written and counted.

Each filter pays for what it looks through, so that no template takes longer than `MAX_WORK` allows.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Never

import msgspec
from jinja2 import StrictUndefined, Undefined, pass_context
from jinja2.runtime import Context

MAX_WORK = 20_000_000
"""Characters that may be looked at or written, where a turn of a loop counts as `TURN`."""

TURN = 200
"""What a turn of a loop costs beside what is looked at in it: 0.4 us, as 200 characters do."""

SHOWN_CHARACTERS = 80

METER = "_meter"
"""The variable that holds what is left of the work. No template can name it."""


class UnfitVariables(ValueError):
    """The template can't be filled in with these variables."""


class MissingVariable(UnfitVariables):
    """A variable is not there. `name` is what the template calls it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the template needs `{name}`, and there is no such variable")
        self.name = name


class RenderedTooLarge(UnfitVariables):
    """The filled template would be too long, or take too long to fill in."""


class Meter:
    """The work that one rendering may still do."""

    def __init__(self) -> None:
        self._left = MAX_WORK

    def spend(self, work: int) -> None:
        """Pay for some work.

        Raises:
            RenderedTooLarge: there isn't so much left.
        """
        self._left -= work
        if self._left < 0:
            raise RenderedTooLarge("the template takes too long to fill in")


def _spend(context: Context, work: int) -> None:
    context.parent[METER].spend(work)


class Missing(StrictUndefined):
    """Says which variable it stands for, whatever is done with it but asking whether it is there."""

    __slots__ = ()

    def _fail_with_undefined_error(self, *_args: Any, **_kwargs: Any) -> Never:
        raise MissingVariable(str(self._undefined_name)[:SHOWN_CHARACTERS])

    __iter__ = __str__ = __len__ = __eq__ = __ne__ = __bool__ = __hash__ = (
        _fail_with_undefined_error
    )


def _text(value: Any) -> str:
    if isinstance(value, str | Undefined):
        return str(value)
    return msgspec.json.encode(value).decode()


def _metered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter of texts that pays for the text that it is given."""

    @pass_context
    def filtered(context: Context, value: Any, *arguments: Any) -> Any:
        text = _text(value)
        _spend(context, len(text))
        return function(text, *arguments)

    return filtered


@pass_context
def written(context: Context, value: Any) -> str:
    """Return what is written of a value: a text as it is, of anything else its JSON."""
    text = _text(value)
    _spend(context, len(text))
    return text


@pass_context
def looked_at(context: Context, value: Any) -> Any:
    """Pay for a value that is about to be compared."""
    if isinstance(value, str | list | dict | Undefined):
        _spend(context, len(_text(value)))
    return value


@pass_context
def each(context: Context, values: Any) -> Iterator[Any]:
    """Pay for each turn of a loop."""
    if isinstance(values, Undefined):
        str(values)
    if not isinstance(values, list | tuple | dict):
        raise UnfitVariables("the template goes through a variable that is no list and no object")
    for value in values:
        _spend(context, TURN)
        yield value


@pass_context
def _joined(context: Context, values: Any, between: str = "") -> str:
    if isinstance(values, Undefined):
        str(values)
    if not isinstance(values, list | tuple | dict):
        raise UnfitVariables("the template joins a variable that is no list and no object")
    _spend(context, len(values) * (TURN + len(between)))
    texts = [_text(value) for value in values]
    _spend(context, sum(map(len, texts)))
    return between.join(texts)


@pass_context
def _items(context: Context, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, dict):
        raise UnfitVariables("the template takes the items of a variable that is no object")
    _spend(context, len(value) * TURN)
    return list(value.items())


def _default(value: Any, fallback: Any = "") -> Any:
    return fallback if isinstance(value, Undefined) or value is None else value


def _length(value: Any) -> int:
    return len(value)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "default": _default,
    "d": _default,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "items": _items,
    "join": _joined,
    "length": _length,
    "count": _length,
    "tojson": pass_context(
        lambda context, value: written(context, msgspec.json.encode(value).decode())
    ),
    "upper": _metered(str.upper),
    "lower": _metered(str.lower),
    "title": _metered(str.title),
    "capitalize": _metered(str.capitalize),
    "trim": _metered(str.strip),
    "truncate": _metered(lambda text, length=255: text[:length]),
}

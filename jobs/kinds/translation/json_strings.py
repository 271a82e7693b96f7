"""The texts of a JSON value: they are translated, keys and everything else stay."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.kinds.translation.protection import protect, words_of


def texts_of(value: Any) -> list[str]:
    """Return the texts in a value, each once, in the order of the document; keys are none."""
    return [*dict.fromkeys(every_text(value))]


def has_words(text: str) -> bool:
    """Return whether there is something to translate: an address or a number by itself is not."""
    return any(map(str.isalpha, words_of(protect(text, "json").text)))


def with_texts(value: Any, translated: Mapping[str, str]) -> Any:
    """Return the value with the translation of each text that has one."""
    if isinstance(value, str):
        return translated.get(value, value)
    if isinstance(value, list):
        return [with_texts(item, translated) for item in value]
    if isinstance(value, dict):
        return {key: with_texts(item, translated) for key, item in value.items()}
    return value


def every_text(value: Any) -> Iterator[str]:
    """Yield the texts in a value, in the order of the document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from every_text(item)

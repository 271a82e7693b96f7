"""The line of a translation, and what is wrong between its fields."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from jobs.exchange import Message, ModelRequest
from jobs.kinds.generation import (
    DEFAULT_MAX_TOKENS,
    MaxTokens,
    ModelName,
    Seed,
    Stop,
    Temperature,
    TopP,
)
from jobs.kinds.kind import FieldFault
from jobs.kinds.translation.glossary import Glossary, UnusableGlossary, read_glossary
from jobs.kinds.translation.json_strings import has_words, texts_of
from jobs.kinds.translation.languages import name_of
from jobs.kinds.translation.subtitles import has_cues
from jobs.strict_json import LooseJson, read_strict

Format = Literal["plain", "markdown", "html", "json", "subtitles"]

LanguageTag = Annotated[str, msgspec.Meta(max_length=35)]
"""Of BCP 47; 35 characters hold every tag that is in use (RFC 5646, 4.4.1)."""

Tone = Annotated[str, msgspec.Meta(max_length=500)]

FEWEST_PART_TOKENS = 16
PartTokens = Annotated[int, msgspec.Meta(ge=FEWEST_PART_TOKENS, le=1_000_000)]

NONE_GIVEN = msgspec.Raw()
_ABSENT = frozenset({b"", b"null"})


class TranslationLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job line. null says "none", also where the batch has a default.

    `metadata` is the user's own: it is kept with the line and said to nobody.

    `glossary` is an object of terms by terms; `examples` one of texts by their translations.
    """

    custom_id: str
    kind: Literal["translation"] = "translation"
    model: ModelName = ""
    text: str
    source: LanguageTag | None = None
    target: LanguageTag | None = None
    format: Format = "plain"
    glossary: msgspec.Raw = NONE_GIVEN
    examples: msgspec.Raw = NONE_GIVEN
    tone: Tone | None = None
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    part_tokens: PartTokens | None = None
    metadata: dict[str, Any] | None = None


def check(line: TranslationLine) -> FieldFault | None:
    """Return what is wrong between the fields."""
    if not line.target:
        return FieldFault(
            "missing_field", "target", "expected a language, on the line or as the batch's default"
        )
    fault = check_settings(line.source, line.target, bytes(line.glossary), bytes(line.examples))
    return fault or _check_text(line)


def check_settings(
    source: str | None, target: str | None, glossary: bytes, examples: bytes
) -> FieldFault | None:
    """Return what is wrong with what a line or a batch says about its texts; JSON may be absent."""
    for field, tag in (("target", target), ("source", source)):
        if tag is not None and name_of(tag) is None:
            return FieldFault(
                "invalid_value", field, "expected the tag of a language, such as `fr` or `pt-BR`"
            )
    try:
        _glossary(glossary)
    except UnusableGlossary as error:
        return FieldFault(error.code, "glossary", str(error))
    try:
        _examples(examples)
    except msgspec.MsgspecError as error:
        return FieldFault(
            "wrong_type", "examples", f"expected an object of texts by texts ({error})"
        )
    return None


def glossary_of(line: TranslationLine) -> Glossary | None:
    """Return a checked line's glossary, None where there is none."""
    return _glossary(bytes(line.glossary))


def examples_of(line: TranslationLine) -> dict[str, str]:
    """Return texts with their translations that are shown to the model, of a checked line."""
    return _examples(bytes(line.examples))


def _glossary(raw: bytes) -> Glossary | None:
    return None if raw in _ABSENT else read_glossary(raw)


def _examples(raw: bytes) -> dict[str, str]:
    return {} if raw in _ABSENT else msgspec.json.decode(raw, type=dict[str, str])


def request_of(
    line: TranslationLine,
    system: str,
    messages: tuple[Message, ...],
    schema: Mapping[str, Any] | None = None,
    goes_on: str | None = None,
) -> ModelRequest:
    """Return a call with what the line says about all of its calls."""
    return ModelRequest(
        messages=messages,
        max_tokens=line.max_tokens,
        system=system,
        temperature=line.temperature,
        top_p=line.top_p,
        stop=(line.stop,) if isinstance(line.stop, str) else line.stop or (),
        goes_on=goes_on,
        seed=line.seed,
        schema=schema,
    )


def part_tokens_of(line: TranslationLine) -> int:
    """Return how many tokens of the text one call is asked to translate.

    By default half of what it may answer: a translation has more tokens than its source in most
    languages, and its estimate errs by a third.
    """
    return line.part_tokens or max(FEWEST_PART_TOKENS, line.max_tokens // 2)


def _check_text(line: TranslationLine) -> FieldFault | None:
    if not line.text.strip():
        return FieldFault("invalid_value", "text", "expected a text; it is blank")
    if line.format == "json":
        return _check_json(line.text)
    if line.format == "subtitles" and not has_cues(line.text):
        return FieldFault(
            "invalid_value",
            "text",
            "expected subtitles: lines with times such as "
            "`00:00:01,000 --> 00:00:04,000`, and their texts below",
        )
    return None


def _check_json(text: str) -> FieldFault | None:
    try:
        value = read_strict(text)
    except LooseJson as error:
        return FieldFault("invalid_json", "text", f"is not the JSON of `format`: {error.message}")
    if not any(map(has_words, texts_of(value))):
        return FieldFault("invalid_value", "text", "expected JSON with a text to translate in it")
    return None

"""What a batch says for all its jobs: what fills their lines, and how far to go for a good answer."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import msgspec

from jobs.ages import EXPECTED, Age
from jobs.configuration import LONGEST_FAILOVER_S
from jobs.errors import InvalidParameter
from jobs.kinds import KINDS
from jobs.kinds.faults import fault_of
from jobs.kinds.generation import (
    DEFAULT_MAX_TOKENS,
    MaxTokens,
    ModelName,
    Samples,
    Seed,
    Stop,
    Temperature,
    TopP,
)
from jobs.kinds.schemas import UnusableSchema, read_schema
from jobs.kinds.templates import UnusableTemplate, check_template
from jobs.kinds.translation.line import Format, LanguageTag, PartTokens, Tone, check_settings
from jobs.strict_json import LooseJson, read_strict

JSON_TEXTS = frozenset({"schema", "glossary", "examples"})
"""Defaults that are JSON, kept as the text that they were given as."""

AskAgain = Annotated[int, msgspec.Meta(ge=0, le=5)]
FailoverAfter = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_FAILOVER_S)]


class JobDefaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fills the fields that a batch's lines leave out; stored with the batch, never changed.

    Made by `from_query` or `from_json`, which check; the constructor does not. Those of
    `JSON_TEXTS` are JSON text. A kind takes the fields that its lines have. What follows `part_tokens` is
    of the batch alone, no line has it. `failover_after_s` is how long its jobs wait for a target before
    they take their route's next one (None: what the route says). The next four say what follows a bad
    answer: whether what was put right here is taken, how often each target is asked again, up to which
    `max_tokens` a cut-off answer gets more room (None: twice its own), and whether the route's next
    target is asked then.
    `collapse` says whether jobs that ask for the same get one answer: `auto` means unless they ask for
    variety, by a temperature above zero. `reuse` is how old an answer of an earlier batch may be that
    such a job gets (None: none is taken).
    """

    kind: str = "generation"
    model: ModelName = ""
    system: str | None = None
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    schema: str | None = None
    template: str | None = None
    n: Samples | None = None
    keep_truncated: bool | None = None
    instructions: str | None = None
    evidence: bool | None = None
    merge_key: str | None = None
    source: LanguageTag | None = None
    target: LanguageTag | None = None
    format: Format | None = None
    glossary: str | None = None
    examples: str | None = None
    tone: Tone | None = None
    part_tokens: PartTokens | None = None
    failover_after_s: FailoverAfter | None = None
    repair: bool = True
    ask_again: AskAgain = 1
    raise_max_tokens: MaxTokens | None = None
    escalate: bool = True
    collapse: Literal["auto", "always", "never"] = "auto"
    reuse: Age | None = None

    @classmethod
    def from_query(cls, values: Mapping[str, str]) -> Self:
        """Return the defaults that a query gives as texts, by the names of the fields.

        Raises:
            InvalidParameter: an unknown field, or a value that can't be; the message names it.
        """
        try:
            defaults = msgspec.convert(dict(values), cls, strict=False)
            if defaults.schema is not None:
                read_strict(defaults.schema)
                read_schema(defaults.schema.encode())
            if defaults.template is not None:
                check_template(defaults.template)
        except msgspec.ValidationError as error:
            fault = fault_of(error, b"", cls)
            message = EXPECTED if fault.field == "reuse" else fault.message
            raise InvalidParameter(f"the default `{fault.field}`: {message}") from error
        except (LooseJson, UnusableSchema) as error:
            raise InvalidParameter(f"the default `schema` {error.message}") from error
        except UnusableTemplate as error:
            raise InvalidParameter(f"the default `template` {error}") from error
        _check_translation(defaults)
        if any("\0" in value for value in values.values()):
            raise InvalidParameter("the defaults: expected texts without NUL characters")
        if defaults.kind not in KINDS:
            raise InvalidParameter(f"the default `kind`: {expected_kinds()}")
        return defaults

    def changed(self, values: Mapping[str, str]) -> Self:
        """Return these defaults with those fields changed that a query gives as texts.

        Raises:
            InvalidParameter: as `from_query` does.
        """
        given = self.from_query(values)
        return msgspec.structs.replace(self, **{name: getattr(given, name) for name in values})

    def to_json(self) -> str:
        """Return the text that is stored with the batch."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the defaults that `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


def _check_translation(defaults: JobDefaults) -> None:
    """Check what only translations have, whatever the kind: a line may say its own.

    Raises:
        InvalidParameter: one of it can't be.
    """
    for name, text in (("glossary", defaults.glossary), ("examples", defaults.examples)):
        try:
            if text is not None:
                read_strict(text)
        except LooseJson as error:
            raise InvalidParameter(f"the default `{name}` {error.message}") from error
    fault = check_settings(
        *(defaults.source, defaults.target),
        (defaults.glossary or "").encode(),
        (defaults.examples or "").encode(),
    )
    if fault is not None:
        raise InvalidParameter(f"the default `{fault.field}` {fault.message}")


def expected_kinds() -> str:
    """Return the end of a sentence about a kind that there isn't."""
    return f"expected {' or '.join(f'`{name}`' for name in KINDS)}"

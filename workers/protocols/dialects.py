"""What each provider's structured output takes of JSON Schema: `schemas` translates into these.

No provider was asked: each dialect names what it was read from, and when. What is in doubt is left out, as
a keyword that is refused costs the job, and one that is left out is checked here in any case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

_FORMATS = frozenset(
    {"date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)

OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "minProperties", "maxProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    ),
    "integer": frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    ),
}
"""What says something about values of a type, and that a schema without a type is of it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a provider takes of JSON Schema. The limits are of the whole schema."""

    keeps: frozenset[str] = frozenset()
    """Keywords that narrow values and are obeyed, or at least not refused."""
    formats: frozenset[str] = frozenset()
    requires_all: bool = False
    """No property may be optional."""
    closes: bool = True
    """Every object must say that it has no other properties."""
    takes_cycles: bool = False
    roots: frozenset[str] = frozenset({"object"})
    """Types that an answer as a whole may have."""
    max_levels: int = 64
    max_properties: int = 5_000
    max_optional: int = 5_000
    max_unions: int = 5_000
    max_enum_values: int = 1_000
    max_name_characters: int = 120_000


PLAIN_STRICT = Dialect(requires_all=True, takes_cycles=True, max_levels=10)
"""The part of strict mode that all models have which have it: no keyword that narrows."""

OPENAI = replace(
    PLAIN_STRICT,
    keeps=OF_TYPE["number"] | {"minItems", "maxItems", "format"},
    formats=_FORMATS,
)
"""OpenAI's strict mode: its guide to structured outputs, as reported in February 2026
(jsonschemaprofiles.unitvectorylabs.com/schemas/openai, read 2026-11-27). `pattern` is taken as well, but
of which language is not said. Fine-tuned models have `PLAIN_STRICT`."""

MISTRAL = PLAIN_STRICT
"""Mistral documents no keyword (docs.mistral.ai/capabilities/structured_output/custom, 2026-11-27)."""

ANTHROPIC = Dialect(
    keeps=frozenset({"format"}), formats=_FORMATS | {"uri"}, max_optional=24, max_unions=16
)
"""Anthropic's grammars take no bounds, no cycles, 24 optional properties and 16 unions
(platform.claude.com/docs/en/build-with-claude/structured-outputs, as cited by hexdocs.pm/lang_schema
0.7.1, read 2026-11-27)."""

GEMINI = Dialect(
    keeps=frozenset({"minItems", "maxItems", "minimum", "maximum", "format", "prefixItems"}),
    formats=frozenset({"date-time", "date", "time"}),
    closes=False,
    roots=frozenset({"object", "array"}),
)
"""Gemini's `responseJsonSchema`, whose reference lists what it takes (google-genai's
GenerateContentConfig, read 2026-11-27). Cycles are unrolled a few times there, so none is sent."""

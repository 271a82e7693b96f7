"""The jobs of `answers`: all three kinds in the forms that they take, each told apart by its own mark.

What is honest to answer is known for each: the simulator's account has it, and of a translation the
simulator's own `translate`.
"""

from collections.abc import Iterator
from typing import Any

from scripts.benchmarks.workload import job_id, mark

JsonObject = dict[str, Any]

MAX_TOKENS = 512

SENTENCES = (
    "The tide comes in twice a day and fills the pond behind the dam.",
    "When the water has fallen far enough, the miller opens the gate.",
    "A wheel of oak turns slowly at first, and then faster than anybody can count.",
    "The stones were brought by ship from a quarry near Paris.",
    "Farmers who came too late slept on their sacks until the next ebb.",
    "In winter the ice broke three paddles, and nobody could mend them before spring.",
    "An old bridge leads over the sluice to the house where the family lives.",
    "Whoever wants to visit should ask at the museum beforehand.",
    "The flour was sold in the market on the other side of the river.",
    "Most of the machinery still works, though it is seldom used.",
)

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "built": {"type": "integer", "minimum": 1000, "maximum": 2100},
        "works": {"type": "boolean"},
        "power": {"enum": ["tide", "river", "wind"]},
        "wheels": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"material": {"type": "string"}, "metres": {"type": "number"}},
                "required": ["material", "metres"],
                "additionalProperties": False,
            },
            "minItems": 1,
        },
        "owner": {"type": "string"},
    },
    "required": ["name", "built", "works", "power", "wheels"],
    "additionalProperties": False,
}

TARGETS = ("fr", "de", "es", "it")
LONG_PART_TOKENS = 80


def lines(jobs: int) -> Iterator[JsonObject]:
    """Yield so many jobs: every eighth is of the same form."""
    for number in range(jobs):
        form = FORMS[number % len(FORMS)]
        yield {"custom_id": job_id(number), "max_tokens": MAX_TOKENS, **form(number)}


def prose(number: int, sentences: int) -> str:
    """Return some sentences that differ from job to job."""
    return " ".join(SENTENCES[(3 * number + n) % len(SENTENCES)] for n in range(sentences))


def _text(number: int) -> JsonObject:
    return {"prompt": f"{mark(job_id(number))} Go on: {prose(number, 2)}"}


def _document(number: int) -> JsonObject:
    return {"prompt": f"{mark(job_id(number))} Invent a mill. {prose(number, 1)}", "schema": SCHEMA}


def _extraction(number: int) -> JsonObject:
    text = f"{mark(job_id(number))} {prose(number, 4)}"
    return {"kind": "extraction", "text": text, "schema": SCHEMA}


def _proven_extraction(number: int) -> JsonObject:
    return {**_extraction(number), "evidence": True}


def _translation(number: int, text: str, **more: Any) -> JsonObject:
    target = TARGETS[number // len(FORMS) % len(TARGETS)]
    return {"kind": "translation", "text": text, "source": "en", "target": target, **more}


def _mark(number: int) -> str:
    """Return the mark of a text that is to be translated: in braces it is no word of any language."""
    return f"{{{mark(job_id(number))}}}"


def _short_translation(number: int) -> JsonObject:
    text = f"{_mark(number)} {prose(number, 1)} {{visitor}} paid {number + 17} pounds."
    return _translation(number, text)


def _lines_translation(number: int) -> JsonObject:
    second = f"More at https://example.org/mill/{number} for %(name)s."
    text = f"{_mark(number)} {prose(number, 2)}\n{second}\n\n{prose(number + 5, 2)}"
    return _translation(number, text)


def _markdown_translation(number: int) -> JsonObject:
    # The simulator has few sentences: of most other pairs it answers both items of some jobs alike.
    items = f"- {prose(number + 2, 1)}\n- {prose(number + 3, 1)} `make mill`"
    text = f"{_mark(number)} {prose(number, 1)}\n\n{items}"
    return _translation(number, text, format="markdown")


def _long_translation(number: int) -> JsonObject:
    # Each part needs the mark, as it is a call of its own.
    paragraphs = [f"{_mark(number)} {prose(number + n, 3)} {{year}} {1400 + n}." for n in range(4)]
    text = "\n\n".join(paragraphs)
    return _translation(number, text, part_tokens=LONG_PART_TOKENS)


FORMS = (
    _text,
    _document,
    _extraction,
    _proven_extraction,
    _short_translation,
    _lines_translation,
    _markdown_translation,
    _long_translation,
)

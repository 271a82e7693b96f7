"""What the trial asks of the model: four batches, all of texts in the public domain.

The model continues text and follows no instructions, so that every job shows it a few examples. It has
a chance: each answer is drawn, from a seed, as the likeliest one would be the same when asked again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

JsonObject = dict[str, Any]

TEMPERATURE = 0.3
SEED = 1948


@dataclass(frozen=True, slots=True)
class Submission:
    """A batch: its name, what it says for all of its jobs, the texts that these are made of.

    `settings` are fields of the batch, in the form of `tidemill submit --set`; `shown` are what every
    job's line has besides its text: what the model is shown, too long for a command line.
    """

    name: str
    kind: str
    texts: str
    settings: Mapping[str, str]
    shown: Mapping[str, Any]

    def lines(self, limit: int | None = None) -> list[JsonObject]:
        """Return the jobs, of the first `limit` texts only where it is given."""
        return [
            {"custom_id": text["id"], "text": text["text"], **self.shown}
            for text in texts(self.texts)[:limit]
        ]


def texts(name: str) -> list[JsonObject]:
    """Return the texts of a file, each `{"id", "source", "text"}`."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _settings(**more: str) -> dict[str, str]:
    return {"temperature": str(TEMPERATURE), "seed": str(SEED), **more}


def _translation(target: str, examples: Mapping[str, str]) -> Submission:
    settings = _settings(max_tokens="160", source="en", target=target)
    shown = {"examples": dict(examples)}
    return Submission(f"articles to {target}", "translation", "articles", settings, shown)


_ENGLISH = (
    "Every child has the right to rest and to play.",
    "No one shall be punished for what he thinks, nor be forced to say it.",
    "1. Patients have the right to see what is written about them.\n"
    "2. This right includes a copy, free of charge.",
)

_FRENCH = (
    "Tout enfant a le droit de se reposer et de jouer.",
    "Nul ne sera puni pour ce qu'il pense, ni contraint de le dire.",
    "1. Les patients ont le droit de voir ce qui est écrit à leur sujet.\n"
    "2. Ce droit comprend une copie, sans frais.",
)

_SPANISH = (
    "Todo niño tiene derecho a descansar y a jugar.",
    "Nadie será castigado por lo que piensa, ni obligado a decirlo.",
    "1. Los pacientes tienen derecho a ver lo que está escrito sobre ellos.\n"
    "2. Este derecho incluye una copia, sin costo alguno.",
)

_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "minLength": 3, "maxLength": 40},
        "year": {"type": "integer", "minimum": 1500, "maximum": 1999},
    },
    "required": ["place"],
    "additionalProperties": False,
}

_PASSAGES = (
    (
        "We left Liverpool on the 3rd of May, 1841, in a small ship, and saw no land for a month.",
        {"place": "Liverpool", "year": 1841},
    ),
    (
        "My grandfather, who was a miller, never left the village of Dunmore in all his life.",
        {"place": "Dunmore"},
    ),
    (
        "In the year 1702 the family went to live at Norwich, where my father kept a school.",
        {"place": "Norwich", "year": 1702},
    ),
)


def _extraction(name: str, *, evidence: bool) -> Submission:
    shown = [
        f"Text:\n\n{text}\n\nJSON: {json.dumps(_shown(value, evidence=evidence))}"
        for text, value in _PASSAGES
    ]
    told = {"schema": _SCHEMA, "instructions": "\n\n".join(shown)}
    settings = _settings(max_tokens="96", evidence=json.dumps(evidence))
    return Submission(name, "extraction", "places", settings, told)


def _shown(value: JsonObject, *, evidence: bool) -> JsonObject:
    if not evidence:
        return value
    quotes = [{"path": f"/{name}", "quote": str(word)} for name, word in value.items()]
    return {"value": value, "evidence": quotes}


SUBMISSIONS = (
    _translation("fr", dict(zip(_ENGLISH, _FRENCH, strict=True))),
    _translation("es", dict(zip(_ENGLISH, _SPANISH, strict=True))),
    _extraction("places", evidence=False),
    _extraction("places with evidence", evidence=True),
)

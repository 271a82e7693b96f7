"""The demo's texts, all in the public domain, and the jobs made of them.

The demo's model continues text and follows no instructions, so every prompt shows it a few examples
first and ends where its answer begins.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked about each text of a file: examples, and the form of the answer.

    Without a `schema` the answer is one line of text.
    """

    texts: str
    question: str
    answer: str
    examples: tuple[tuple[str, str], ...]
    max_tokens: int
    schema: JsonObject | None = None

    def prompt(self, text: str) -> str:
        """Return the examples and then `text`, up to where the answer begins."""
        shown = [f"{self.question}: {t}\n{self.answer}: {a}\n\n" for t, a in self.examples]
        return f"{''.join(shown)}{self.question}: {text}\n{self.answer}:"


TASKS = (
    Task(
        texts="articles",
        question="Article",
        answer="Topic",
        examples=(
            ("Everyone has the right to freedom of opinion and expression.", "free speech"),
            ("Everyone has the right to own property.", "property"),
            ("Everyone has the right to take part in the government of his country.", "democracy"),
        ),
        max_tokens=10,
    ),
    Task(
        texts="proverbs",
        question="Proverb",
        answer="In other words",
        examples=(
            ("Rome was not built in a day.", "Great things take a long time."),
            ("All that glitters is not gold.", "What looks good may be worth little."),
            ("Practice makes perfect.", "You get better by doing something often."),
            ("Strike while the iron is hot.", "Act at once when you have a chance."),
        ),
        max_tokens=24,
    ),
    Task(
        texts="scenes",
        question="Text",
        answer="JSON",
        examples=(
            ("The children shouted for joy and danced.", '{"mood":"happy"}'),
            ("He wept alone in the cold dark room.", '{"mood":"sad"}'),
            ("What a glorious morning, she sang.", '{"mood":"happy"}'),
            ("A terrible fear crept over the house.", '{"mood":"sad"}'),
        ),
        max_tokens=24,
        schema={
            "type": "object",
            "properties": {"mood": {"type": "string", "enum": ["happy", "sad"]}},
            "required": ["mood"],
            "additionalProperties": False,
        },
    ),
    Task(
        texts="openings",
        question="Text",
        answer="JSON",
        examples=(
            (
                "Heidi climbed up the mountain to her grandfather, and Peter came with the goats.",
                '{"who":"Heidi","about":"a climb with the goats"}',
            ),
            (
                "Tom Sawyer stood before the fence with a brush and a bucket of whitewash.",
                '{"who":"Tom Sawyer","about":"painting a fence"}',
            ),
            (
                "When Robinson Crusoe woke, the ship was gone, and he was alone on the shore.",
                '{"who":"Robinson Crusoe","about":"being alone on a shore"}',
            ),
        ),
        max_tokens=64,
        schema={
            "type": "object",
            "properties": {
                "who": {"type": "string", "maxLength": 40},
                "about": {"type": "string", "maxLength": 60},
            },
            "required": ["who", "about"],
            "additionalProperties": False,
        },
    ),
)


def texts(name: str) -> list[JsonObject]:
    """Return the texts of a file, each `{"id", "source", "text"}`."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def jobs() -> list[JsonObject]:
    """Return the demo's jobs, as lines of a submission; `model` and `kind` are the batch's."""
    return [_job(task, text) for task in TASKS for text in texts(task.texts)]


def _job(task: Task, text: JsonObject) -> JsonObject:
    job = {
        "custom_id": f"{task.texts}/{text['id']}",
        "prompt": task.prompt(text["text"]),
        "max_tokens": task.max_tokens,
        "temperature": 0.0,
    }
    if task.schema is not None:
        return job | {"schema": task.schema}
    # This model doesn't know when it has said enough; a beginning is as good.
    return job | {"stop": ["\n"], "keep_truncated": True}

"""What it takes to check an answer against its schema, beside reading it as JSON and no more.

One thread, no calls: the check itself (`jobs.kinds.schemas.judge_json`). Each size and state of an answer is
timed in turn with `json.loads` of the honest one, so that a machine that wavers does so for both.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from jobs.errors import TidemillError
from jobs.kinds.kind import Good
from jobs.kinds.schemas import judge_json, read_schema
from scripts.simulator.schemas import satisfy

ROUNDS = 15
ROUND_S = 0.02
"""Of each measurement; the median of the rounds is told."""

PROPERTIES = {"small": 3, "medium": 30, "large": 300}

MICROS_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class SchemaCost:
    """Microseconds for an answer of so many bytes: read by `json.loads`, and judged."""

    size: str
    answer: str
    schema_bytes: int
    answer_bytes: int
    loads_us: float
    judged_us: float
    is_good: bool


def measure_schemas(say: Callable[[str], None]) -> list[SchemaCost]:
    """Time the check of each size and state.

    Raises:
        TidemillError: an answer was judged as it should not be, so that the figure would be of
            something else.
    """
    return [cost for size in PROPERTIES for cost in _of_size(size, say)]


def schema_of(properties: int) -> dict[str, Any]:
    """Return a schema with so many properties, half of them texts, each tenth a list of objects."""
    return {
        "type": "object",
        "properties": {f"field_{number}": _property(number) for number in range(properties)},
        "required": [f"field_{number}" for number in range(properties)],
        "additionalProperties": False,
    }


def _property(number: int) -> dict[str, Any]:
    if number % 10 == 9:
        inner = {"name": {"type": "string"}, "share": {"type": "number", "minimum": 0}}
        item = {"type": "object", "properties": inner, "required": [*inner]}
        return {"type": "array", "items": item, "minItems": 2}
    match number % 4:
        case 1:
            return {"type": "integer", "minimum": 1, "maximum": 1_000_000}
        case 3:
            return {"enum": ["tide", "river", "wind"]}
        case _:
            return {"type": "string", "maxLength": 200}


def _of_size(size: str, say: Callable[[str], None]) -> Iterator[SchemaCost]:
    document = schema_of(PROPERTIES[size])
    schema = read_schema(orjson.dumps(document))
    value = satisfy(document, "The tide comes in and fills the pond.")
    honest = orjson.dumps(value).decode()
    states = {
        "honest": (honest, True),
        "in a fence": (f"```json\n{honest}\n```", True),
        "a comma too many": (f"{honest[:-1]},}}", True),
        "a field is missing": (orjson.dumps(dict([*value.items()][1:])).decode(), False),
        "cut off": (honest[: len(honest) // 2], False),
    }
    for state, (answer, is_good) in states.items():
        say(f"{size}, {state}")
        if isinstance(judge_json(answer, schema), Good) is not is_good:
            raise TidemillError(f"{size}, {state}: judged wrongly")
        loads_us, judged_us = _timed(
            partial(json.loads, honest), partial(judge_json, answer, schema)
        )
        yield SchemaCost(
            *(size, state, len(schema.text), len(answer), loads_us, judged_us), is_good=is_good
        )


def _timed(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return the median time of a call of each, in microseconds, timed in turn."""
    both: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, times in zip((one, other), both, strict=True):
            count, began = 0, time.perf_counter()
            while (passed_s := time.perf_counter() - began) < ROUND_S:
                call()
                count += 1
            times.append(MICROS_PER_S * passed_s / count)
    return median(both[0]), median(both[1])


def print_schemas(output: Console, costs: Sequence[SchemaCost]) -> None:
    """Print the figures as a table."""
    table = Table(
        *("schema", "answer", "schema bytes", "answer bytes", "json.loads µs", "judged µs"),
        *("times", "answers/s"),
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for cost in costs:
        table.add_row(
            *(cost.size, cost.answer, f"{cost.schema_bytes:,}", f"{cost.answer_bytes:,}"),
            *(f"{cost.loads_us:.1f}", f"{cost.judged_us:.1f}"),
            f"{cost.judged_us / cost.loads_us:.1f}",
            f"{MICROS_PER_S / cost.judged_us:,.0f}",
        )
    output.print(table)

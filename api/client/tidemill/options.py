"""What is said of a batch as a whole, as a program says it, and as the query that it becomes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypedDict

from .lines import encoded
from .shapes import Model

Dollars = str | int | Decimal
"""Never a float: those can't hold a cent."""

Kind = Literal["generation", "translation", "extraction", "chat", "responses", "messages"]


class RetryOptions(TypedDict, total=False):
    """What may be said of a batch and of the jobs that don't say it themselves; see `docs/kinds.md`.

    `deadline` is an aware time, or a time of day and a zone such as `06:00 Europe/Paris`.
    `schema` is a JSON Schema or a pydantic model. `reuse` is an age such as `7d`.
    """

    name: str | None
    priority: Literal["bulk", "normal", "high", "interactive"] | None
    lane: Literal["live", "auto", "batch"] | None
    max_cost_usd: Dollars | None
    deadline: str | datetime | None
    after_deadline: Literal["finish", "expire"] | None
    run_window: str | None
    model: str | None
    system: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    source: str | None
    target: str | None
    format: str | None
    glossary: Mapping[str, str] | None
    examples: Mapping[str, str] | None
    tone: str | None
    part_tokens: int | None
    failover_after_s: float | None
    repair: bool | None
    ask_again: int | None
    raise_max_tokens: int | None
    escalate: bool | None
    collapse: Literal["auto", "always", "never"] | None
    reuse: str | None
    schema: Mapping[str, Any] | Model[Any] | None
    template: str | None
    n: int | None
    instructions: str | None
    keep_truncated: bool | None
    evidence: bool | None
    merge_key: str | None


class Options(RetryOptions, total=False):
    """The same, with what a retry can't change."""

    accept_late: bool | None
    kind: Kind | None
    id_column: str | None
    delimiter: Literal["comma", "semicolon", "tab", "pipe"] | None


def texts_of(options: Mapping[str, object]) -> dict[str, str]:
    """Return options as the texts of a query; None is left out."""
    return {name: _text(value) for name, value in options.items() if value is not None}


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case float():
            return repr(value)
        case datetime():
            return value.isoformat()
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case int():
            return str(value)
        case _:
            return encoded(value).decode()

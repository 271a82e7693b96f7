"""What docker-compose.yml says, so that a test can run its very commands without Docker."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<form>:[?-])(?P<rest>[^}]*))?\})")


@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """How a service is started: the command as a list, and the variables that it is given."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


def compose_document() -> dict[str, Any]:
    """Return the file as data, anchors and merges resolved, `${...}` as it is written."""
    document: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return document


def service_command(name: str, variables: Mapping[str, str]) -> ServiceCommand:
    """Return the command and the environment of a service, with `variables` in place of the shell's.

    Raises:
        KeyError: there is no such service, or a required variable is not in `variables`.
    """
    service = compose_document()["services"][name]
    return ServiceCommand(
        argv=tuple(interpolate(part, variables) for part in service["command"]),
        environment={
            key: interpolate(str(value), variables)
            for key, value in service.get("environment", {}).items()
        },
    )


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with `${NAME}`, `${NAME:-default}` and `${NAME:?message}` replaced as compose does."""

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        found = variables.get(name, "")
        if not found and match["form"] == ":?":
            raise KeyError(f"{name}: {match['rest']}")
        return found or (match["rest"] if match["form"] == ":-" else "")

    return _VARIABLE.sub(value, text)

"""What of the machine's environment a test may see: nothing that says where things are or who pays."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_FOREIGN = re.compile(
    r"""
      TIDEMILL_.*                           # a developer's own set-up
    | (?:https?|ftp|all|no)_proxy           # no detour between a test and its own servers
    | .*_(?:API|ACCESS|SECRET)_KEY(?:_ID)?  # no test calls a provider, least of all at a cost
    | .*_(?:AUTH|API|ACCESS)_TOKEN
    | (?:OPENAI|ANTHROPIC|GEMINI|GOOGLE|MISTRAL|AZURE)_.*
    | (?:CELERY|FLOWER|PG)[A-Z_]*           # read by libraries on their own account
    """,
    re.VERBOSE | re.IGNORECASE,
)


def is_foreign(name: str) -> bool:
    """Whether a variable of this name would let the machine or its owner reach into a test."""
    return _FOREIGN.fullmatch(name) is not None


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without what `is_foreign`; what a child process of a test is given."""
    return {name: value for name, value in environment.items() if not is_foreign(name)}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the suite is told about the machine that it runs on, read once before the scrub."""

    in_ci: bool
    postgres_url: str
    has_time: bool
    """Whether what takes an hour is to be tested as well."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Machine":
        """Read it from `environment`."""
        return cls(
            in_ci=environment.get("CI", "").lower() in {"1", "true"},
            postgres_url=environment.get(
                "TIDEMILL_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"
            ),
            has_time=environment.get("TIDEMILL_TEST_ALL_PAIRS", "") == "1",
        )

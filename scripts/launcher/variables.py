"""Variables of the environment that look like ours and are none: mostly a slip of the fingers."""

import difflib
from collections.abc import Iterable, Iterator

from jobs.settings import Settings

PREFIX = "TIDEMILL_"

OTHERS = frozenset(
    {"API_KEY", "FLOWER_AUTH", "LAUNCHER_PID", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "URL"}
)
"""Read in other places than `Settings`: by the client commands, Flower, parts and Compose."""

FOR_TESTS = "TIDEMILL_TEST_"


def unknown_variables(names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each of these names that begins as ours do and isn't."""
    known = [PREFIX + name for name in sorted({*map(str.upper, Settings.model_fields), *OTHERS})]
    for name in sorted(names):
        if not name.startswith(PREFIX) or name.startswith(FOR_TESTS) or name in known:
            continue
        nearest = next(iter(difflib.get_close_matches(name, known, n=1)), None)
        meant = f"; did you mean {nearest}?" if nearest else ""
        yield f"{name} is no variable of Tidemill and does nothing{meant}"

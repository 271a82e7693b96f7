"""How old something may be, as people write it: `30m`, `12h`, `7d`."""

from datetime import timedelta
from typing import Annotated

import msgspec

Age = Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,4}[mhd]$")]
"""A whole number of minutes, hours or days."""

EXPECTED = "expected an age, such as `30m`, `12h` or `7d`"
"""What a person is told who has written something else."""

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def span(age: Age) -> timedelta:
    """Return the time that an age stands for."""
    return int(age[:-1]) * _UNITS[age[-1]]

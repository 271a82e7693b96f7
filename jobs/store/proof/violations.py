"""What must never be, said in one way by everything that proves something."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never be. `count` is how often, or by how much."""

    code: str
    count: int
    message: str


def unless_zero(code: str, count: int, sentence: str) -> Iterator[Violation]:
    """Yield a violation if there is anything to tell; `{}` of the sentence is how often."""
    if count:
        yield Violation(code, count, sentence.format(f"{count:,}"))


def unless_equal(code: str, told: int, counted: int, what: str) -> Iterator[Violation]:
    """Yield a violation if a total of a batch is not what its rows add up to; `what` is in the plural."""
    if told != counted:
        message = f"the batch says {told:,} {what}, and its rows say {counted:,}"
        yield Violation(code, told - counted, message)

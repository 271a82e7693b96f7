"""What clients of Anthropic's send that changes nothing here."""

from typing import Annotated

from fastapi import Depends, Query


def _tolerate(
    beta: Annotated[str | None, Query(description="is not looked at")] = None,
) -> None:
    """Take a parameter that older clients send."""


TOLERATED = Depends(_tolerate)

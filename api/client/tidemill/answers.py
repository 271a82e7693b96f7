"""What an answer is read as."""

from typing import TypeVar

import httpx
import msgspec

from .asks import Ask
from .errors import ServiceUnavailable
from .shapes import Batch

T = TypeVar("T")


def answer_of(ask: Ask[T], response: httpx.Response) -> T:
    """Return an answer as what its request says.

    Raises:
        ServiceUnavailable: it is something else, so what answers is not Tidemill.
    """
    try:
        return msgspec.json.decode(response.content, type=ask.answer)
    except msgspec.MsgspecError as error:
        raise ServiceUnavailable(f"what answers at {response.url} is not Tidemill") from error


def id_of(batch: Batch | str) -> str:
    """Return the id of a batch."""
    return batch if isinstance(batch, str) else batch.id

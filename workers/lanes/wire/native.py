"""What a provider's batch API has to offer, in words of our own: the same for all four.

Nobody's create is idempotent. So sending is two steps: `upload` costs nothing and may be done twice;
`create` is what is billed, and after one whose answer was lost `find` looks for what it left behind.
"""

import enum
import typing
from collections.abc import AsyncGenerator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from jobs.errors import ConnectFailed, Permanent, ProviderError, ProviderUnusable
from jobs.exchange import Answer, Endpoint, ModelRequest


@dataclass(frozen=True, slots=True)
class LaneShape:
    """What one native batch can hold at a provider, and how long it may take.

    Attributes:
        max_lines: in one native batch.
        max_bytes: of all its lines together, as they are sent.
        is_single_model: whether all lines must be of one model.
        endpoints: where lines can go; all of one native batch go to the same.
        expires_after_s: after this time from its creation the provider ends it by itself.
        keeps_partial: whether what was finished is still there after it has expired.
        cancel_s: how long a cancel takes at most.
    """

    max_lines: int
    max_bytes: int
    is_single_model: bool
    endpoints: frozenset[Endpoint]
    expires_after_s: float
    keeps_partial: bool
    cancel_s: float


@dataclass(frozen=True, slots=True)
class Order:
    """One native batch that is to be sent.

    Attributes:
        tag: our name for it, by which it is found again: 1 to 48 of `A-Za-z0-9_-`. Every custom_id of
            its lines begins with it and a `-`.
        model: as the provider calls it; of the first line where there are several.
        endpoint: where the lines go at the provider.
        spool: the file of the lines that `line` made, each ended by one newline.
        lines: how many it holds.
        size_bytes: how large it is.
    """

    tag: str
    model: str
    endpoint: Endpoint
    spool: Path
    lines: int
    size_bytes: int


class End(enum.Enum):
    """How a native batch has ended. Only `COMPLETED` says that the provider did what it could.

    Each may have results, also none: a batch can be completed with every line in error.
    """

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Remote:
    """How a native batch stands at its provider.

    Attributes:
        id: the provider's name for it.
        end: None as long as it runs; a status that is new to us is no end.
        is_cancelling: whether the provider has taken a cancel and is not done with it.
        done: lines that have an answer or an error of their own; None where the provider doesn't tell
            yet (Anthropic tells at the end).
        total: lines that the provider has counted; None before it has.
        failure: why it was refused as a whole, where it ended so: `Transient` can be sent again later
            as it is (a full queue of enqueued tokens is `RateLimited`), `Permanent` never.
        created_at: by the provider's clock.
        expires_at: by the provider's clock.
        endpoint: where its lines go, and so how its results are read.
        files: what `tidy` deletes and `results` reads, by what each is.
    """

    id: str
    end: End | None = None
    is_cancelling: bool = False
    done: int | None = None
    total: int | None = None
    failure: ProviderError | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    endpoint: Endpoint = Endpoint.CHAT
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ended(self) -> bool:
        """Whether nothing will be billed any more, and all results are there."""
        return self.end is not None


class Traces(NamedTuple):
    """What a search for a native batch has found.

    `found` is certainly ours. `possible` counts those that may be ours and of which that can't be said
    yet (Anthropic's carry no name: their results do, once they have ended). As long as there is one,
    what was sent is not lost, but must not be sent again, cancelled or deleted either.
    """

    found: Remote | None
    possible: int = 0


class NativeLine(NamedTuple):
    """One line of results, read as the live protocol reads a reply.

    `end` is None for a line that was not run: its batch was cancelled or expired before. What can't be
    read is a `MalformedReply`, under the custom_id if that at least can be read, else under `""`.
    """

    custom_id: str
    end: Answer | ProviderError | None


class NativeBatches(typing.Protocol):
    """One provider's batch API. It keeps no state and may be shared.

    Whatever takes a key raises the exact `ProviderError`, and nothing else.
    """

    @property
    def shape(self) -> LaneShape:
        """What one native batch can hold, as the provider documents it or the configuration says."""

    def endpoint(self, request: ModelRequest) -> Endpoint:
        """Return where a request's line goes."""

    def line(self, custom_id: str, model: str, request: ModelRequest) -> bytes:
        """Return a request's line, without a newline in or after it.

        Raises:
            ProviderError: nothing that could be sent; the text can't be put on the wire.
        """

    async def upload(self, key: SecretStr | None, order: Order) -> str:
        """Bring the lines there; return the file's id, `""` where `create` brings them itself.

        It costs nothing. A file whose upload was repeated goes away by itself where the provider can
        be told so.
        """

    async def create(self, key: SecretStr | None, order: Order, file_id: str) -> Remote:
        """Make the native batch of what was uploaded. Never to be repeated without a `find` before.

        Raises:
            ProviderError: `may_have_created` tells whether there may be one nevertheless.
        """

    async def find(
        self, key: SecretStr | None, order: Order, since: datetime, known: Set[str] = frozenset()
    ) -> Traces:
        """Look for what a `create` of this order has left behind.

        Of the order no spool is read. `since` is when the create began, at the earliest, by our clock.
        `known` are ids of native batches that are known to be other ones. The provider's list may lag
        behind: not found once is not lost.
        """

    async def look(self, key: SecretStr | None, remote_id: str) -> Remote:
        """Return how it stands; `RequestRejected` with status 404 where there is none (any more)."""

    async def cancel(self, key: SecretStr | None, remote_id: str) -> None:
        """Ask for its end; `look` tells when that has come. One that has ended already is no error."""

    def results(self, key: SecretStr | None, remote: Remote) -> AsyncGenerator[NativeLine, None]:
        """Yield all lines of one that has ended, in whatever order the provider has them.

        Nothing is promised of them: a line may come twice, be missing, or be nobody's. What can't be
        read is yielded too. Read anew from its start it yields the same lines.

        Raises:
            ProviderError: they can't be fetched, or the reply broke off: to be read anew, later.
        """

    async def tidy(self, key: SecretStr | None, remote: Remote, file_id: str = "") -> None:
        """Delete what is left of an ended one there: its files, or itself. What is gone is no error.

        `file_id` is what `upload` returned: not every provider repeats it.
        """


def may_have_created(error: ProviderError) -> bool:
    """Whether a create that failed so may have made a native batch nevertheless.

    Stricter than `may_have_run`: a 5xx, a 429 or a 409 may come from a proxy whose server had made it
    already. No connection, or a reason why this request can't be, is certain.
    """
    return not isinstance(error, ConnectFailed | Permanent | ProviderUnusable)

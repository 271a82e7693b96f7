"""A provider's batch API in memory, which can lose answers, hide what it has, and die at any call."""

from collections.abc import AsyncGenerator, Callable, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from pydantic import SecretStr

from jobs.configuration import Configuration
from jobs.errors import ProviderError, RequestRejected
from jobs.exchange import Answer, Endpoint, Finish, ModelRequest, Usage
from jobs.lanes import LaneTimes
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.store import Database
from workers.calls.keys import Keyring
from workers.lanes.lanes import BatchApi, Lanes
from workers.lanes.wire import End, LaneShape, NativeLine, Order, Remote, Traces
from workers.parts import Parts
from workers.transactions import Transactions

USAGE = Usage(input_tokens=10, output_tokens=100)
BEFORE, AFTER = "before", "after"


class Died(Exception):
    """The process was killed here."""


@dataclass
class FakeBatches:
    """What a provider has. `on` is called with each operation, before it and after it; it may raise."""

    remotes: dict[str, Remote] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    is_hidden: bool = False
    """Whether the list lags behind."""
    on: Callable[[str, str], None] = lambda _operation, _moment: None
    results_of: Callable[[str, list[str]], list[NativeLine]] | None = None
    shape: LaneShape = field(
        default=LaneShape(
            max_lines=1000,
            max_bytes=1 << 20,
            is_single_model=True,
            endpoints=frozenset({Endpoint.CHAT}),
            expires_after_s=86_400,
            keeps_partial=True,
            cancel_s=0,
        )
    )

    def endpoint(self, request: ModelRequest) -> Endpoint:
        return Endpoint.CHAT

    def line(self, custom_id: str, model: str, request: ModelRequest) -> bytes:
        return msgspec.json.encode({"custom_id": custom_id, "model": model})

    async def upload(self, key: SecretStr | None, order: Order) -> str:
        self.on("upload", BEFORE)
        lines = order.spool.read_bytes().splitlines()
        names = [msgspec.json.decode(line)["custom_id"] for line in lines]
        assert len(names) == order.lines == len(set(names))
        self.lines[f"file-{order.tag}"] = names
        self.on("upload", AFTER)
        return f"file-{order.tag}"

    async def create(self, key: SecretStr | None, order: Order, file_id: str) -> Remote:
        self.on("create", BEFORE)
        remote = Remote(id=f"remote-{len(self.remotes) + 1}", files={"input": file_id})
        self.remotes[remote.id] = remote
        self.tags[remote.id] = order.tag
        self.on("create", AFTER)
        return remote

    async def find(
        self, key: SecretStr | None, order: Order, since: datetime, known: Set[str] = frozenset()
    ) -> Traces:
        self.on("find", BEFORE)
        found = [
            self.remotes[name]
            for name, tag in self.tags.items()
            if tag == order.tag and name not in known and not self.is_hidden
        ]
        return Traces(found[0] if found else None)

    async def look(self, key: SecretStr | None, remote_id: str) -> Remote:
        self.on("look", BEFORE)
        remote = self.remotes.get(remote_id)
        if remote is None:
            raise RequestRejected("there is none", status=404)
        return remote

    async def cancel(self, key: SecretStr | None, remote_id: str) -> None:
        self.on("cancel", BEFORE)
        if not self.remotes[remote_id].is_ended:
            self.end(remote_id, End.CANCELLED)
        self.on("cancel", AFTER)

    async def results(
        self, key: SecretStr | None, remote: Remote
    ) -> AsyncGenerator[NativeLine, None]:
        self.on("results", BEFORE)
        names = self.lines[remote.files["input"]]
        for line in (self.results_of or good)(remote.id, names):
            yield line
        self.on("results", AFTER)

    async def tidy(self, key: SecretStr | None, remote: Remote, file_id: str = "") -> None:
        self.on("tidy", BEFORE)
        self.remotes.pop(remote.id, None)
        self.on("tidy", AFTER)

    def end(self, remote_id: str, how: End = End.COMPLETED, **values: Any) -> None:
        """Let one end."""
        self.remotes[remote_id] = replace(self.remotes[remote_id], end=how, **values)

    def end_all(self) -> None:
        """Let all of them end."""
        for name, remote in list(self.remotes.items()):
            if not remote.is_ended:
                self.end(name)


def good(_remote_id: str, names: list[str]) -> list[NativeLine]:
    """Return a good answer for each line, the last one first."""
    return [NativeLine(name, answer()) for name in reversed(names)]


def answer(text: str = "Hello.") -> Answer:
    return Answer(text, Finish.COMPLETE, USAGE)


CONFIGURATION = Configuration.model_validate(
    {
        "providers": {
            "sim": {
                "protocol": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "models": ["sim-*"],
                "pools": [{"limits": {"rps": 100}}],
                "batch_lane": {"look_every_s": 0.001, "cancel_s": 0, "turnaround_s": 1},
            }
        },
        "prices": {
            "sim/sim-small": {
                "input": "1",
                "output": "2",
                "batch_input": "0.50",
                "batch_output": "1",
            }
        },
    }
)


class FakeLanes(Lanes):
    """Lanes with one provider, `sim`, whose batch API is in memory."""

    def __init__(self, wire: FakeBatches, *, times: LaneTimes, enqueued_tokens: int | None) -> None:
        self._fake = BatchApi(cast(Any, wire), times, enqueued_tokens, 50)

    def of(self, provider: str) -> BatchApi | None:
        return self._fake if provider == "sim" else None

    def key(self, provider: str, pool: str) -> SecretStr | None:
        return None

    def next_pool(self, provider: str) -> str | None:
        return "main"


def parts_of(
    database: Database, settings: Settings, configuration: Configuration = CONFIGURATION
) -> Parts:
    """Return the parts of a process that batch lanes use."""
    return cast(
        Parts,
        SimpleNamespace(
            settings=settings,
            configuration=configuration,
            catalogue=Catalogue(configuration),
            prices=PriceBook(configuration),
            keys=Keyring(configuration),
            transactions=Transactions(database),
            feed=SimpleNamespace(drained=lambda _lease: None),
        ),
    )


def fails(error: ProviderError) -> Callable[[str, str], None]:
    """Return what lets a create be refused after it was done: its answer is lost."""

    def on(operation: str, moment: str) -> None:
        if (operation, moment) == ("create", AFTER):
            raise error

    return on

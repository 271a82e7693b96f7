"""What an API process is made of, and how a route gets at it."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from jobs.configuration import Configuration
from jobs.feed import Feeder
from jobs.file_store import FileStore
from jobs.pipelines.folder import PipelineFolder
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.spans import Tracing
from jobs.store import Database, Session
from jobs.store.money import budgets
from jobs.tokens import CountTokens

log = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""How long an answer waits for the database; then it is 503. What is usual takes milliseconds."""

COUNTING_S = 120.0
"""How long it may take to look at every attempt of a batch, or of a project's batches."""


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one API process, built by `create_app`."""

    settings: Settings
    configuration: Configuration
    catalogue: Catalogue
    prices: PriceBook
    database: Database
    count_tokens: CountTokens
    pipelines: PipelineFolder
    feeder: Feeder
    feeding: ThreadPoolExecutor
    """One thread that talks to the broker, so that no answer waits for it."""

    tracing: Tracing | None = None
    waiting: set[str] = field(default_factory=set)
    """Queues that are to be fed: asked for again, one is fed no more often, so a hung broker piles up
    nothing."""

    @property
    def files(self) -> FileStore:
        """The bytes of uploaded files."""
        return FileStore(self.settings.files_folder())

    def prices_if_budgeted(
        self, session: Session, project_id: int, max_cost_nanos: int | None
    ) -> PriceBook | None:
        """Return the prices if every job needs one: its batch has a budget, or its project a cap."""
        if max_cost_nanos is not None or budgets.is_capped(session, project_id):
            return self.prices
        return None

    def feed(self, queues: tuple[str, ...]) -> None:
        """Feed queues soon; whatever goes wrong, the sweep does it."""
        for queue in queues:
            if queue not in self.waiting:
                self.waiting.add(queue)
                self.feeding.submit(self._feed, queue)

    def feed_all(self) -> None:
        """Feed the queues of all providers soon: batches may go on again."""
        self.feed(tuple(self.configuration.providers))

    def _feed(self, queue: str) -> None:
        self.waiting.discard(queue)  # before: what is asked for from now on is fed once more
        try:
            self.feeder.feed(queue)
        except Exception:  # the sweep feeds whatever is missed here
            log.exception("feeding %s failed", queue)


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]

"""The batches that somebody listens to: one look at their rows a second, however many listen."""

import asyncio
import logging

from starlette.concurrency import run_in_threadpool

from api.batch_reading import shape_of
from jobs.errors import ServiceUnavailable
from jobs.states import FINAL_BATCH_STATES
from jobs.store import Database
from jobs.store.batches import batches
from jobs.tables import Batch

log = logging.getLogger(__name__)

READ_EVERY_S = 1.0
"""Between two looks at the rows: what a person sees as live, and one statement a second."""


class Watched:
    """One batch as its listeners see it. Used by the process's one event loop."""

    def __init__(self, name: tuple[int, str], batch_id: int, project: str) -> None:
        self.name = name
        """Its project's id and its own."""

        self.batch_id = batch_id
        self.project = project
        self.progress = b""
        """The batch as `GET /api/batches/{id}` answers it: the same bytes for everybody."""

        self.finished_jobs = 0
        """Results up to this position can be read."""

        self.state = ""
        self.listeners = 0
        self._changed = asyncio.Event()

    @property
    def is_final(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.state in FINAL_BATCH_STATES

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change from now on; to be taken before the rest is looked at."""
        return self._changed

    def tell(self, look: "Look") -> None:
        """Take in what was read, and wake who waits for a change."""
        if look.progress != self.progress:
            self.progress, self.finished_jobs = look.progress, look.finished_jobs
            self.state = look.state
            self.wake()

    def wake(self) -> None:
        """Wake everybody who waits for a change."""
        told, self._changed = self._changed, asyncio.Event()
        told.set()


class Look:
    """What is read of a batch each time."""

    def __init__(self, batch: Batch, progress: bytes) -> None:
        self.progress = progress
        self.finished_jobs = batch.finished_jobs
        self.state: str = batch.state


class Watcher:
    """The watched batches of a process. Used by its one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watched: dict[tuple[int, str], Watched] = {}
        self._reading: asyncio.Task[None] | None = None
        self.has_ended = False
        """Whether this process stops: who listens goes to another one."""

    async def join(self, project_id: int, ref: str) -> Watched:
        """Return a batch of the project, read and watched from now on, until `leave`.

        Raises:
            NotFound: as `batches.find`.
            ServiceUnavailable: the database can't be used now.
        """
        watched = self._watched.get((project_id, ref))
        if watched is None:
            found, look = await run_in_threadpool(self._find, project_id, ref)
            # Somebody else may have been quicker, while this one waited for its thread.
            watched = self._watched.setdefault((project_id, ref), found)
            watched.tell(look)
        watched.listeners += 1
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_on())
        return watched

    def leave(self, watched: Watched) -> None:
        """Note that one who joined listens no more."""
        watched.listeners -= 1
        if not watched.listeners:
            self._watched.pop(watched.name, None)

    @property
    def listeners(self) -> int:
        """How many listen, each counted once for each batch."""
        return sum(watched.listeners for watched in self._watched.values())

    def end(self) -> None:
        """Let every listener go; harmless to do twice."""
        self.has_ended = True
        for watched in self._watched.values():
            watched.wake()

    async def close(self) -> None:
        """Let every listener go, and wait until no row is being read."""
        self.end()
        if (reading := self._reading) is not None:
            reading.cancel()
            await asyncio.wait([reading])  # a thread that reads ends before its task does

    def _find(self, project_id: int, ref: str) -> tuple[Watched, Look]:
        with self._database.read() as session:
            batch = batches.find(session, project_id, ref)
            assert batch.id is not None  # a stored row has its key
            project = batches.project_name(session, project_id)
            watched = Watched((project_id, ref), batch.id, project)
            shape = shape_of(session, batch, watched.project)
            return watched, Look(batch, shape.model_dump_json().encode())

    async def _read_on(self) -> None:
        """Read as long as somebody listens."""
        is_away = False
        try:
            while self._watched and not self.has_ended:
                await asyncio.sleep(READ_EVERY_S)
                open_ = {one.batch_id: one for one in self._watched.values() if not one.is_final}
                try:
                    looks = await run_in_threadpool(self._look_at, open_)
                except ServiceUnavailable as error:
                    if not is_away:
                        log.warning("watched batches can't be read: %s", error)
                    is_away = True
                    continue
                is_away = False
                for batch_id, look in looks.items():
                    open_[batch_id].tell(look)
        except Exception:  # whoever listens next starts it again
            log.exception("watched batches are not read")
        finally:
            self._reading = None

    def _look_at(self, watched: dict[int, Watched]) -> dict[int, Look]:
        if not watched:
            return {}
        with self._database.read() as session:
            return {
                batch.id: Look(
                    batch,
                    shape_of(session, batch, watched[batch.id].project).model_dump_json().encode(),
                )
                for batch in batches.by_ids(session, sorted(watched))
                if batch.id is not None
            }

"""The threads of an API process that look for new batches whose file is to be read: any process does it.

A batch's row says that it is to be read. Whoever claims it gives signs of life while he reads; if he is
killed, another one begins from the start, in whichever process, and what the dead one stored is dropped
like any upload that died.
"""

import logging
import time
from threading import Event, Thread

from api.openai.reading import FileReading
from api.openai.tidying import tidy
from api.services import Services
from jobs.errors import IllegalTransition, ServiceUnavailable
from jobs.store.surfaces import file_claims

log = logging.getLogger(__name__)

READERS = 2
"""Threads: a small batch need not wait for one of a million lines."""

LOOK_AGAIN_S = 2.0
"""Until it is looked for batches whose reader died, or that were made by another process."""

TIDY_EVERY_S = 60.0


class Readers:
    """The threads of one process that read new batches."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping = Event()
        self._woken = Event()
        self._tidied_at = time.monotonic()
        self._threads = [
            Thread(target=self._run, name=f"reader-{number}", daemon=True)
            for number in range(READERS)
        ]

    def start(self) -> None:
        """Begin to look for batches."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look for a batch now: one was made."""
        self._woken.set()

    def stop(self) -> None:
        """Return when no thread uses the database any more; what they were at is left to others."""
        self._stopping.set()
        self._woken.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                found = self.read_next()
                self._tidy_at_times()
            except ServiceUnavailable as error:
                log.warning("no batches can be read from files: %s", error)
                found = False
            except Exception:  # the next look tries again
                log.exception("looking for batches to be read failed")
                found = False
            if not found:
                self._woken.wait(LOOK_AGAIN_S)
                self._woken.clear()

    def _tidy_at_times(self) -> None:
        if time.monotonic() - self._tidied_at > TIDY_EVERY_S:
            self._tidied_at = time.monotonic()
            tidy(self._services)

    def read_next(self) -> bool:
        """Read the next batch that waits for it; return whether there was one."""
        database = self._services.database
        with database.read() as session:
            if not file_claims.is_any_waiting(session):
                return False
        with database.write() as session:
            claim = file_claims.claim_next(session)
        if claim is None:
            return False
        try:
            FileReading(self._services, claim, self._stopping).run()
        except IllegalTransition as error:
            log.info("%s: %s", claim.ref, error)
        return True

"""Begins the runs that are due: when the clock of pipelines says so, and every half minute of itself."""

import logging
import threading

from jobs.errors import NotFound, ServiceUnavailable
from jobs.pipelines.files import Pipeline
from jobs.pipelines.folder import PipelineFolder
from jobs.store import Database
from jobs.store.runs import run_schedules
from workers.pipelines.schedule import Schedules

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
"""By so much a run is late at most whose message was lost."""


class Starter:
    """Looks at the schedules of a folder; any number of them at once begin no run twice."""

    def __init__(self, database: Database, folder: PipelineFolder) -> None:
        self._database = database
        self.folder = folder
        self._stopped = threading.Event()
        self._told: set[str] = set()

    def schedules(self) -> Schedules:
        """Return the schedules that the files have now."""
        return {
            pipeline.name: (pipeline.schedule.cron, pipeline.schedule.zone)
            for pipeline in self.folder.pipelines()
            if pipeline.schedule is not None
        }

    def start(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._watch, name="starter", daemon=True).start()

    def stop(self) -> None:
        """Look no longer."""
        self._stopped.set()

    def begin_due(self, name: str | None = None) -> int:
        """Begin what is due, of one pipeline or of all; return how many runs there are more.

        Raises:
            ServiceUnavailable: the database doesn't answer.
        """
        begun = 0
        self._tell_troubles()
        for pipeline in self.folder.pipelines():
            if pipeline.schedule is None or name not in {None, pipeline.name}:
                continue
            try:
                begun += self._begin(pipeline)
            except NotFound as error:
                log.warning("pipeline %s: %s", pipeline.name, error)
        return begun

    def _tell_troubles(self) -> None:
        """Log what is wrong with files, once while it is."""
        troubles = {found.trouble for found in self.folder.files() if found.trouble is not None}
        for trouble in sorted(troubles - self._told):
            log.warning("%s", trouble)
        self._told = troubles

    def _begin(self, pipeline: Pipeline) -> bool:
        with self._database.read() as session:
            is_known = run_schedules.is_known(session, pipeline)
            due_at = run_schedules.due_at(session, pipeline)
        if not is_known:
            with self._database.write() as session:
                run_schedules.know(session, pipeline)
            return False
        if due_at is None:
            return False
        with self._database.write() as session:
            run = run_schedules.begin(session, pipeline, due_at)
        if run is None:
            return False
        log.info("run %s of %s, due at %s: %s", run.ref, pipeline.name, due_at, run.state)
        return True

    def _watch(self) -> None:
        while True:
            try:
                self.begin_due()
            except ServiceUnavailable as error:
                log.warning("what is due can't be begun: %s", error)
            except Exception:  # the next look tries again
                log.exception("what is due can't be begun")
            if self._stopped.wait(LOOK_EVERY_S):
                return

"""Flower on our own Celery application: never without a password, and for looking only."""

import logging
import signal
from types import FrameType
from typing import Any

# Importing the first defines Flower's options among tornado's global ones.
from flower import options as defined  # type: ignore[import-untyped] # it has no types
from flower.app import Flower  # type: ignore[import-untyped] # it has no types
from flower.urls import settings as tornado_settings  # type: ignore[import-untyped] # ditto
from flower.views.error import NotFoundErrorHandler  # type: ignore[import-untyped] # ditto
from tornado.ioloop import PeriodicCallback

from jobs.queues import make_celery
from jobs.settings import Settings

MAX_TASKS = 10_000
"""Tasks that Flower remembers; each is a slice and takes some 5 KB."""
MAX_WORKERS = 500
FORGET_WORKER_AFTER_S = 600
LOOK_AT_WORKERS_EVERY_S = 15


def serve(settings: Settings, login: str, host: str, port: int) -> None:
    """Serve Flower until SIGTERM or SIGINT."""
    options: Any = defined.options
    options.address = host
    options.port = port
    options.basic_auth = [login]
    # Nothing here may revoke or shut down: batches are paused and cancelled through the API.
    options.read_only = True
    options.persistent = False
    options.max_tasks = MAX_TASKS
    options.max_workers = MAX_WORKERS
    options.purge_offline_workers = FORGET_WORKER_AFTER_S
    # The arguments are a batch and the number of a slice, which is what one looks for.
    options.tasks_columns = "name,args,state,received,started,runtime,worker"
    logging.getLogger("tornado.access").setLevel(logging.ERROR)

    app = Flower(capp=make_celery(settings), options=options, **tornado_settings)
    # Its metrics would be open to anybody; the API has better ones.
    app.add_handlers(r".*", [(r"/metrics", NotFoundErrorHandler)])

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        app.io_loop.add_callback_from_signal(app.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # Workers that start after Flower, or come and go, would have no queues on its broker page.
    looking = PeriodicCallback(app.update_workers, LOOK_AT_WORKERS_EVERY_S * 1000)
    app.start_http_server()
    looking.start()
    app.start()

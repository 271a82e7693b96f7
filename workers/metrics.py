"""What a worker's and a beat's process tell of themselves, to Prometheus; the rest is told by the API.

Served only where TIDEMILL_METRICS_ADDRESS says so, without a key: figures and the names of queues, and
nothing of any job.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, start_http_server

from jobs.settings import Settings

log = logging.getLogger(__name__)

Figure = Any
"""Whatever a registry takes: prometheus_client has no type for it that its own figures are."""


def gauge(name: str, said: str, read: Callable[[], float]) -> Gauge:
    """Return a figure that is read when it is asked for, not registered yet."""
    figure = Gauge(name, said, registry=None)
    figure.set_function(read)
    return figure


def serve_metrics(settings: Settings, figures: Iterable[Figure]) -> None:
    """Answer `GET /metrics` from a thread of its own, if an address for it is configured.

    A port that is taken is logged, and costs the process nothing else.
    """
    address = settings.metrics_host_and_port()
    if address is None:
        return
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    for figure in figures:
        registry.register(figure)
    host, port = address
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        log.warning("no metrics at %s:%d: %s", host, port, error)

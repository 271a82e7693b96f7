"""The Celery application and the producer's side of it: the queues, and how to publish.

A message names a slice and nothing else. It is a hint: the rows decide what is done, so a message
that is lost, doubled or refused costs seconds. Tasks are in `workers`; how much is published is
`feed`'s matter.
"""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu import Connection
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import connections, producers

from jobs import redis_transport
from jobs.errors import ConfigurationError, ServiceUnavailable
from jobs.settings import Settings

RUN_SLICE = "tidemill.run_slice"
SHARE_OUT = "tidemill.share_out"
NATIVE_BATCH = "tidemill.native_batch"
SWEEP = "tidemill.sweep"
BEGIN_RUNS = "tidemill.begin_runs"
HINT_LIVES_S = 10
"""A hint that nobody has taken for so long is forgotten: the sweep gives another one."""

CONTROL_QUEUE = "tidemill.control"
"""Where sweeps and schedules go; every other queue has the name of its provider."""

BROKER_SCHEMES = ("redis", "rediss", "redis+socket", "amqp", "amqps")

BROKER_PATIENCE_S = 0.5
"""How long one exchange with the broker may take while a submission or a slice waits for it.

A healthy broker answers in a millisecond. A hung one is asked again once (see `_RETRY`), with a new
connection, so a caller is held for about two seconds.
"""

REDELIVERY_S = 3600
"""When Redis hands out an unacknowledged message again: far beyond the longest life of a slice.

Recovery does not wait for it: a dead worker's lease runs out in seconds, and the sweep publishes
the slice anew.
"""

_RETRY: Mapping[str, float] = {
    # One retry, at once: a pooled connection that the broker closed meanwhile fails immediately.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}


def make_celery(settings: Settings) -> Celery:
    """Return the application of every process, producer or worker. It connects to nothing yet.

    The pool is not chosen here: a worker is started with `--pool threads`, because one task is one
    open slice and waits on the process's event loop.

    Raises:
        ConfigurationError: the broker's address is of no kind that this project works with.
    """
    broker_url = settings.resolved_broker_url()
    if (scheme := urlsplit(broker_url).scheme) not in BROKER_SCHEMES:
        raise ConfigurationError(
            f"TIDEMILL_BROKER_URL begins with {scheme!r}; expected one of "
            f"{', '.join(f'{known}://' for known in BROKER_SCHEMES)}"
        )
    redis_transport.register()
    app = Celery("tidemill", broker=broker_url, set_as_current=False)
    app.conf.update(
        # The rows hold every result, so no message carries one.
        task_ignore_result=True,
        result_backend=None,
        # Ids only, so JSON costs nothing and can't execute anything.
        task_serializer="json",
        result_serializer="json",
        event_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        # A message lives as long as the slice that it names. A slice that raises is not delivered
        # again: its lease runs out, or it gave its jobs back, and the rows know what is open.
        task_acks_late=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        worker_prefetch_multiplier=1,
        # Threads can't be cancelled, and a call that was paid for is not thrown away because the
        # broker blinked.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0,
        worker_max_tasks_per_child=None,
        worker_enable_remote_control=True,
        # For Flower; three events for each slice, not for each job.
        worker_send_task_events=True,
        task_send_sent_event=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A Redis that answers and takes no writes (memory or disk full, a replica by now) is as good
        # as one that is gone. Celery would end the worker, and with it the calls in flight.
        broker_channel_error_retry=True,
        broker_connection_timeout=5,
        broker_pool_limit=10,
        task_publish_retry_policy=dict(_RETRY),
        # One direct queue per provider, made by whoever names it first.
        task_default_queue=CONTROL_QUEUE,
        task_default_exchange_type="direct",
        task_create_missing_queues=True,
        **_broker_options(broker_url),
    )
    return app


def publish_slice(app: Celery, queue: str, batch_ref: str, slice_no: int) -> None:
    """Tell the workers of `queue` that a slice is waiting. Publishing twice is harmless.

    Blocks for about two seconds at most, also when the broker is frozen or gone.

    Raises:
        ServiceUnavailable: the broker did not take the message, or did not say so in time; the
            sweep publishes the slice again.
    """
    _publish(app, RUN_SLICE, queue, [batch_ref, slice_no])


def publish_hint(app: Celery, task: str, queue: str, ref: str) -> None:
    """Tell the workers of `queue` that something of this name is due; the row decides. As `publish_slice`.

    Raises:
        ServiceUnavailable: the broker did not take the message; the sweep gives the hint again.
    """
    _publish(app, task, queue, [ref], expires_s=HINT_LIVES_S)


def _publish(
    app: Celery, task: str, queue: str, args: list[Any], *, expires_s: int | None = None
) -> None:
    pool = producers[_bounded_connection(app)]
    try:
        with pool.acquire(block=True, timeout=BROKER_PATIENCE_S) as producer:
            app.send_task(
                task,
                args=args,
                queue=queue,
                expires=expires_s,
                producer=producer,
                # Else Celery keeps every message as a child of the task that published it.
                add_to_parent=False,
                retry=True,
                retry_policy=dict(_RETRY),
                timeout=BROKER_PATIENCE_S,
                confirm_timeout=BROKER_PATIENCE_S,
            )
    except _broker_faults(app) as error:
        raise ServiceUnavailable(
            f"the broker did not take a message for {queue!r}{_refusal(error)}"
        ) from error


def _refusal(error: BaseException) -> str:
    """Return a server's word for why it refuses, such as MISCONF with a full disk; empty without one."""
    word = str(error).partition(" ")[0]
    return f" ({word})" if word.isalpha() and word.isupper() else ""


def queue_length(app: Celery, queue: str) -> int | None:
    """Return how many messages wait in the broker; None if it gives no answer in about two seconds.

    Messages that a worker holds unacknowledged don't count. A queue that does not exist has none.
    """
    pool = connections[_bounded_connection(app)]
    try:
        with pool.acquire(block=True, timeout=BROKER_PATIENCE_S) as connection:
            return _ready_messages(connection, queue)
    except _broker_faults(app):
        return None


def _ready_messages(connection: Connection, queue: str) -> int:
    def declare(channel: Any) -> int:
        try:
            declared = channel.queue_declare(queue=queue, passive=True)
        except connection.channel_errors as error:
            # Redis knows no empty queues, and RabbitMQ none that nobody has named yet.
            if "NOT_FOUND" in str(error):
                return 0
            raise
        return int(declared.message_count)

    autoretry: Any = connection.autoretry  # its stub lacks the options and returns the wrong type
    length, _ = autoretry(declare, **_RETRY)()
    return int(length)


def _bounded_connection(app: Celery) -> Connection:
    # Apart from the application's own connections: a consumer waits longer than a caller may.
    return app.connection_for_write(
        connect_timeout=BROKER_PATIENCE_S,
        transport_options={**_bounded_options(app.conf.broker_url), **_RETRY},
    )


def _broker_faults(app: Celery) -> tuple[type[BaseException], ...]:
    connection = app.connection_for_write()
    # A timeout of a socket is an OSError, which no transport but Redis's counts among its own.
    return (
        OperationalError,
        LimitExceeded,
        OSError,
        *connection.connection_errors,
        *connection.channel_errors,
    )


def _broker_options(broker_url: str) -> dict[str, Any]:
    scheme = urlsplit(broker_url).scheme
    if _is_redis(broker_url):
        options: dict[str, Any] = {
            # Only a Redis lets a worker take no message until one of its threads is free.
            "worker_disable_prefetch": True,
            "visibility_timeout": REDELIVERY_S,
            "broker_transport_options": {
                "visibility_timeout": REDELIVERY_S,
                # Sweep for a dead worker's messages every 10 s instead of every 100 s.
                "unacked_restore_interval": 10,
                "unacked_restore_throttle": 1,
                # Longer than a blocking pop (1 s); without it a half-open connection hangs.
                "socket_timeout": 15,
                "socket_connect_timeout": 5,
                "socket_keepalive": True,
                "health_check_interval": 10,
            },
        }
    else:
        options = {
            # Durable and classic: a restarted RabbitMQ still has its messages. A quorum queue would
            # also survive a lost node, and pay with a global prefetch limit and two more copies for
            # what the sweep restores anyway.
            "task_default_queue_type": "classic",
            "broker_heartbeat": 30,
            "broker_transport_options": {"confirm_publish": True},
        }
    if scheme == "rediss" and "ssl_cert_reqs" not in urlsplit(broker_url).query:
        options["broker_use_ssl"] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options


def _bounded_options(broker_url: str) -> dict[str, Any]:
    if _is_redis(broker_url):
        return {
            "socket_timeout": BROKER_PATIENCE_S,
            "socket_connect_timeout": BROKER_PATIENCE_S,
        }
    return {"on_open": _limit_waiting}


def _limit_waiting(connection: Any) -> None:
    # An AMQP declaration waits for its answer without a limit of its own; the socket's applies.
    connection.transport.sock.settimeout(BROKER_PATIENCE_S)


def _is_redis(broker_url: str) -> bool:
    return urlsplit(broker_url).scheme in {"redis", "rediss", "redis+socket"}

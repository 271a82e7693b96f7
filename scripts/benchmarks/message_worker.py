"""A Celery worker and its producer, the usual way: one message per job, one thread per call.

`python -m scripts.benchmarks.message_worker work BROKER_URL PROVIDER_URL THREADS`, and
`python -m scripts.benchmarks.message_worker send BROKER_URL JOBS`.
"""

import sys
import time

import httpx
from celery import Celery

from scripts.benchmarks import child
from scripts.benchmarks.bare_loop import HEADERS, PATH
from scripts.benchmarks.workload import request_body

TASK = "call"
TIMEOUT_S = 60.0


def work(broker_url: str, provider_url: str, threads: int) -> None:
    """Consume messages until told to stop."""
    app = _app(broker_url)
    limits = httpx.Limits(max_connections=threads, max_keepalive_connections=threads)
    client = httpx.Client(
        base_url=provider_url, limits=limits, timeout=TIMEOUT_S, trust_env=False, headers=HEADERS
    )

    @app.task(name=TASK)
    def call(body: str) -> int:
        answer = client.post(PATH, content=body.encode()).raise_for_status().json()
        tokens: int = answer["usage"]["completion_tokens"]
        return tokens

    app.Worker(
        pool="threads",
        concurrency=threads,
        without_gossip=True,
        without_mingle=True,
        loglevel="WARNING",
    ).start()


def send(broker_url: str, jobs: int) -> float:
    """Send a message per job; return how many seconds that took."""
    app = _app(broker_url)
    began = time.perf_counter()
    for number in range(jobs):
        app.send_task(TASK, args=[request_body(number).decode()])
    return time.perf_counter() - began


def _app(broker_url: str) -> Celery:
    app = Celery("message-per-job", broker=broker_url, set_as_current=False)
    # What every guide to reliable tasks says; the rest is Celery's default.
    app.conf.update(task_acks_late=True, task_ignore_result=True)
    return app


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["work", broker, provider, count]:
            work(broker, provider, int(count))
        case ["send", broker, count]:
            child.reply({"took_s": send(broker, int(count))})
        case _:
            sys.exit(__doc__)

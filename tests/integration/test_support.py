"""The fixtures themselves: what they promise to the tests that build on them."""

import signal
import sys
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
from kombu import Connection
from sqlalchemy import create_engine, inspect, text

from tests.support import postgres, redis_servers
from tests.support.environment import is_foreign
from tests.support.eventually import eventually, eventually_async
from tests.support.ports import free_port
from tests.support.redis_servers import OwnRedis
from tests.support.services import StartProcess

SERVE_FILES = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1"]


def test_a_condition_that_comes_true_gives_its_value() -> None:
    answers = iter([0, "", "yes"])
    assert eventually(lambda: next(answers), 5) == "yes"


def test_a_condition_that_stays_false_says_what_was_expected_and_what_was_seen() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.01 s: two jobs \(last seen: \[\]\)"):
        eventually(list, 0.01, "two jobs")


async def test_an_asynchronous_condition_is_waited_for_in_the_same_way() -> None:
    answers = iter([False, True])

    async def ask() -> bool:
        return next(answers)

    assert await eventually_async(ask)


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        ("TIDEMILL_DATABASE_URL", True),
        ("HTTPS_PROXY", True),
        ("no_proxy", True),
        ("OPENAI_API_KEY", True),
        ("ANTHROPIC_BASE_URL", True),
        ("SOMEBODY_API_KEY", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("PATH", False),
        ("HOME", False),
        ("CI", False),
        ("VIRTUAL_ENV", False),
    ],
)
def test_what_names_a_place_or_pays_is_foreign(name: str, foreign: bool) -> None:
    assert is_foreign(name) is foreign


def test_a_database_is_empty_and_can_be_written(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE mill (id INTEGER)"))
    engine.dispose()


def test_a_database_is_gone_after_its_test(postgres_server: str) -> None:
    with postgres.fresh_database(postgres_server) as url:
        plain = url.replace("+psycopg", "")
        with psycopg.connect(plain) as still_connected:
            assert still_connected.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(plain)


def test_two_tests_never_share_a_redis_database(redis_server: str) -> None:
    with (
        redis_servers.own_number(redis_server) as one,
        redis_servers.own_number(redis_server) as other,
    ):
        assert one != other
        with redis.Redis.from_url(one) as client, redis.Redis.from_url(other) as neighbour:
            client.set("mill", "grinds")
            assert neighbour.dbsize() == 0


def test_a_redis_database_is_empty_before_and_after(redis_server: str) -> None:
    with redis_servers.own_number(redis_server) as url, redis.Redis.from_url(url) as client:
        assert client.dbsize() == 0
        client.set("mill", "grinds")
    with redis.Redis.from_url(url) as client:
        assert client.dbsize() == 0


def test_a_redis_of_ones_own_can_be_frozen_killed_and_started_again(own_redis: OwnRedis) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("mill", "grinds")
        own_redis.freeze()
        assert not redis_servers.answers(own_redis.url)
        own_redis.thaw()
        eventually(lambda: redis_servers.answers(own_redis.url), 5)
        own_redis.flush()
        assert client.dbsize() == 0
    own_redis.kill()
    assert not redis_servers.answers(own_redis.url)
    own_redis.start()
    assert redis_servers.answers(own_redis.url)


def test_a_virtual_host_takes_connections(rabbitmq_url: str) -> None:
    with Connection(rabbitmq_url, connect_timeout=5) as connection:
        connection.connect()
        assert connection.connected
    assert urlsplit(rabbitmq_url).path.startswith("/tidemill-test-")


def test_a_process_is_ready_when_it_answers_and_ends_by_its_signal(
    start_process: StartProcess,
) -> None:
    port = free_port()
    process = start_process([*SERVE_FILES, str(port)], name="files")
    process.wait_ready(f"http://127.0.0.1:{port}/")
    assert process.exit_status is None
    process.kill(signal.SIGTERM)
    assert process.wait_ended() == -signal.SIGTERM
    assert "Serving HTTP" in process.log()


def test_a_process_that_dies_before_it_is_ready_says_why(start_process: StartProcess) -> None:
    process = start_process([sys.executable, "-c", "raise SystemExit('the mill is dry')"])
    with pytest.raises(AssertionError, match=r"ended with 1(.|\n)*the mill is dry"):
        process.wait_ready(f"http://127.0.0.1:{free_port()}/")


def test_children_of_a_process_are_cleared_away_with_it(start_process: StartProcess) -> None:
    process = start_process(["/bin/sh", "-c", "sleep 600 & echo $!; wait"])
    child_pid = int(eventually(process.log))
    process.kill()
    process.wait_ended()
    assert psutil.pid_exists(child_pid)
    process.clear_away()
    eventually(lambda: not psutil.pid_exists(child_pid), what="the child is gone")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds a child to its parent's life")
def test_a_process_dies_with_the_test_run_that_started_it(start_process: StartProcess) -> None:
    source = (
        "import sys, time; from pathlib import Path; "
        "from tests.support.processes import ProcessUnderTest; "
        "print(ProcessUnderTest(['/bin/sleep', '600'], Path(sys.argv[1])).pid, flush=True); "
        "time.sleep(600)"
    )
    run = start_process([sys.executable, "-c", source, "/dev/null"])
    child_pid = int(eventually(run.log, 10))
    eventually(
        lambda: psutil.Process(child_pid).name() == "sleep", what="the child runs its program"
    )
    run.kill(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(child_pid), what="the child is gone")

"""A Redis that is open to a network, or forgets, is refused; one that is down is waited for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from jobs.errors import ConfigurationError
from jobs.redis_safety import is_open, old_version, require_safe_redis
from jobs.settings import Settings
from tests.support.environment import scrubbed
from tests.support.redis_servers import OwnRedis
from tests.support.system import ROOT


def settings(url: str, *, allow: bool = False) -> Settings:
    return Settings(broker_url=url, allow_open_redis=allow)


@pytest.fixture
def server(own_redis: OwnRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_redis.url) as client:
        yield client


@pytest.fixture
def far_url(own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server as if it were on another machine: no name counts as this one."""
    monkeypatch.setattr("jobs.redis_safety._is_loopback", lambda _host: False)
    return own_redis.url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://10.0.0.5:6379/0", True),
        ("redis://10.0.0.5", True),
        ("redis://user@cache.internal/0", True),
        ("rediss://cache.internal/0", True),
        ("redis://[2001:db8::1]:6379/0", True),
        ("redis://0.0.0.0:6379", True),
        ("redis://127.0.0.1.evil.test", True),
        ("redis://127.0.0.1:6379/0", False),
        ("redis://127.8.8.8", False),
        ("redis://localhost/1", False),
        ("redis://[::1]:6379", False),
        ("redis:///0", False),
        ("unix:///run/valkey.sock", False),
        ("redis+socket:///run/valkey.sock", False),
        ("rediss://cache.invalid/0?ssl_certfile=/c.pem&ssl_keyfile=/k.pem", False),
        ("redis://:secret@cache.invalid/0", False),
    ],
)
def test_who_needs_no_password_is_open_unless_it_is_this_machine(url: str, expected: bool) -> None:
    assert is_open(url) is expected


@pytest.mark.parametrize("variable", ["broker_url", "redis_url"])
def test_an_open_one_is_refused_unless_it_is_allowed(variable: str) -> None:
    url = "redis://192.0.2.1:6379/0"
    named = Settings(broker_url="amqp://h").model_copy(update={variable: url})
    with pytest.raises(
        ConfigurationError, match=f"TIDEMILL_{variable.upper()}: a Redis on another"
    ):
        require_safe_redis(named)


def test_an_open_one_may_be_allowed(far_url: str) -> None:
    with pytest.raises(ConfigurationError, match="asks for no password"):
        require_safe_redis(settings(far_url))
    require_safe_redis(settings(far_url, allow=True))


def test_a_password_that_the_server_does_not_ask_for_is_none(
    far_url: str, server: redis.Redis
) -> None:
    with_password = far_url.replace("://", "://:secret@")
    assert is_open(with_password)
    server.config_set("requirepass", "secret")
    assert not is_open(with_password)
    require_safe_redis(settings(with_password))


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_one_that_forgets_is_refused(own_redis: OwnRedis, server: redis.Redis, policy: str) -> None:
    require_safe_redis(settings(own_redis.url))
    server.config_set("maxmemory-policy", policy)
    with pytest.raises(ConfigurationError, match=f"maxmemory-policy is {policy}.*noeviction"):
        require_safe_redis(settings(own_redis.url))


def test_one_that_is_down_is_waited_for_by_who_needs_it(own_redis: OwnRedis) -> None:
    own_redis.kill()
    require_safe_redis(settings(own_redis.url))


def test_one_whose_user_may_not_ask_is_used_with_a_warning(
    own_redis: OwnRedis, server: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    server.acl_setuser("few", enabled=True, passwords=["+pw"], commands=["+ping"], keys=["*"])
    require_safe_redis(settings(own_redis.url.replace("://", "://few:pw@")))
    assert "may not ask INFO" in caplog.text
    assert "pw@" not in caplog.text


@pytest.mark.parametrize(
    ("told", "fixed"),
    [
        ({"redis_version": "7.0.15"}, "a maintained release"),
        ({"redis_version": "6.2.19"}, "6.2.20"),
        ({"redis_version": "7.2.13"}, "7.2.14"),
        ({"redis_version": "7.4.6"}, "7.4.9"),
        ({"redis_version": "8.0"}, "a maintained release"),
        ({"redis_version": "8.4.0"}, "8.4.3"),
        ({"redis_version": "8.6.2"}, "8.6.3"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.4"}, "8.1.7"),
        ({"redis_version": "7.2.4", "valkey_version": "9.0.0"}, "9.0.4"),
        ({"redis_version": "6.2.20"}, None),
        ({"redis_version": "7.2.14"}, None),
        ({"redis_version": "8.6.3"}, None),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, None),
        ({"redis_version": "255.255.255"}, None),
    ],
)
def test_a_release_with_a_known_hole_is_named_with_the_one_to_take(
    told: dict[str, object], fixed: str | None
) -> None:
    said = old_version(told)
    assert (said is None) == (fixed is None)
    assert said is None or said.endswith(f"take {fixed}")


@pytest.mark.parametrize("part", ["api", "worker", "beat", "flower", "up"])
def test_no_part_starts_on_an_open_one(part: str, tmp_path: Path) -> None:
    ended = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "scripts.command", part],
        env={
            **scrubbed(os.environ),
            "TIDEMILL_HOME": str(tmp_path / "home"),
            "TIDEMILL_BROKER_URL": "redis://192.0.2.1:6379/0",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert (
        "TIDEMILL_BROKER_URL: a Redis on another machine that asks for no password" in ended.stderr
    )
    assert not (tmp_path / "home" / "tidemill.db").exists()


def test_a_password_may_stand_in_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuses(url: str) -> redis.Redis:
        asked.append(url)
        raise redis.exceptions.AuthenticationError

    monkeypatch.setattr("jobs.redis_safety._client", refuses)
    assert not is_open("redis://10.0.0.9:6379/0?username=u&password=pw&socket_timeout=1")
    assert asked == ["redis://10.0.0.9:6379/0?socket_timeout=1"]
    assert is_open("redis://10.0.0.9:6379/0?socket_timeout=1")

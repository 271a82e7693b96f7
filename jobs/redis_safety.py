"""Is this Redis fit to be the broker and the gate? Asked before a process uses it.

Whoever can write to it can stop the fleet and lift its limits, and Lua in an old server was a way to
run code on its machine; so one that is open to a network is refused. One that evicts forgets messages
and quotas.
"""

import ipaddress
import logging
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from jobs.errors import ConfigurationError
from jobs.settings import Settings

log = logging.getLogger(__name__)

ANSWERS_WITHIN_S = 2.0

OPEN = (
    "a Redis on another machine that asks for no password: whoever reaches it could stop the workers "
    "and lift the limits. Give it one (redis://:PASSWORD@HOST), or set TIDEMILL_ALLOW_OPEN_REDIS=true "
    "on a network that nobody else is in"
)

PATCHED = {
    "redis": {(6, 2): 20, (7, 2): 14, (7, 4): 9, (8, 2): 6, (8, 4): 3, (8, 6): 3},
    "valkey": {(7, 2): 13, (8, 0): 8, (8, 1): 7, (9, 0): 4},
}
"""The first release of each line without the holes by which a caller runs code: in Lua (CVE-2025-49844)
and in blocking commands (CVE-2026-23479), which a worker's every wait for a message is."""


def require_safe_redis(settings: Settings) -> None:
    """Look at every Redis that the settings name; one that does not answer is looked at no further.

    Raises:
        ConfigurationError: one is open to a network, or evicts keys.
    """
    for variable, url in _named(settings):
        if not settings.allow_open_redis and is_open(url):
            raise ConfigurationError(f"{variable}: {OPEN}")
        try:
            fault, warning = look_at(url)
        except (RedisError, OSError):
            continue  # it may come up later; who needs it waits and says so
        if fault is not None:
            raise ConfigurationError(f"{variable}: {fault}")
        if warning is not None:
            log.warning("%s: %s", variable, warning)


def _named(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.broker_url.startswith(("redis://", "rediss://")):
        yield "TIDEMILL_BROKER_URL", settings.broker_url
    if settings.redis_url and settings.redis_url != settings.broker_url:
        yield "TIDEMILL_REDIS_URL", settings.redis_url


def is_open(url: str) -> bool:
    """Whether the address is of another machine and anybody who reaches that may use it.

    Without a password in the address it either is open or refuses us, which ends the same.
    A server that takes any password is asked without one.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"} or _is_loopback(parts.hostname or "localhost"):
        return False
    given = {"ssl_certfile", "password"} & dict(parse_qsl(parts.query)).keys()
    return not (parts.password or given) or _answers_anybody(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answers_anybody(url: str) -> bool:
    parts = urlsplit(url)
    port = "" if parts.port is None else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query)
        if name not in {"username", "password"}
    ]
    anonymous = parts._replace(netloc=f"{host}{port}", query=urlencode(kept)).geturl()
    try:
        with _client(anonymous) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def look_at(url: str) -> tuple[str | None, str | None]:
    """Return what makes the server unfit, and what is only to be warned of; None for nothing.

    Raises:
        RedisError, OSError: it does not answer, or does not know us.
    """
    with _client(url) as client:
        try:
            told = client.info()
        except NoPermissionError:
            return None, "its user may not ask INFO, so nobody knows whether it evicts keys"
    policy = told.get("maxmemory_policy", "noeviction")
    fault = None
    if policy != "noeviction":
        fault = f"its maxmemory-policy is {policy}: it would forget quotas; set it to noeviction"
    return fault, old_version(told)


def old_version(told: dict[str, object]) -> str | None:
    """Return a sentence if INFO tells of a release with a known hole."""
    server = "valkey" if "valkey_version" in told else "redis"
    version = str(told.get(f"{server}_version", ""))
    numbers = [int(part) if part.isdigit() else 0 for part in f"{version}.0.0".split(".")]
    line, release = (numbers[0], numbers[1]), numbers[2]
    lines = PATCHED[server]
    if line > max(lines) or release >= lines.get(line, release + 1):
        return None
    fixed = f"{line[0]}.{line[1]}.{lines[line]}" if line in lines else "a maintained release"
    holes = "holes by which callers run code (CVE-2025-49844, CVE-2026-23479)"
    return f"{server} {version} has {holes} unless patched; take {fixed}"


def _client(url: str) -> Redis:
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=ANSWERS_WITHIN_S,
        socket_connect_timeout=ANSWERS_WITHIN_S,
    )

"""What `tidemill check` looks at: can this configuration work, here and now?

What can't work is an error; what is unwise, or only not there yet, is a warning.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobs.configuration import Configuration, Route, load_configuration
from jobs.errors import ConfigurationError, TidemillError
from jobs.queues import CONTROL_QUEUE, REDELIVERY_S, make_celery, queue_length
from jobs.redis_safety import OPEN, is_open, look_at
from jobs.settings import Settings
from jobs.store import check_schema, is_empty, open_database
from jobs.tokens import token_counter
from scripts.launcher import valkey
from scripts.launcher.descriptors import check_enough, raise_limit
from scripts.launcher.environment import read_settings
from scripts.launcher.flower_login import AUTH_VARIABLE, require_login
from scripts.launcher.keys import key_faults
from scripts.launcher.mounts import require_locks
from scripts.launcher.room import free_bytes, home_fault
from scripts.launcher.variables import unknown_variables

LITTLE_ROOM_MB = 100
BROKER_CONNECTS_WITHIN_S = 2.0


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. No message holds a secret."""

    level: Level
    subject: str
    message: str


def examine() -> list[Finding]:
    """Read the environment and the configuration, try what they name, and report."""
    try:
        settings = read_settings()
    except ConfigurationError as error:
        return [Finding(Level.ERROR, "environment", error.message)]
    findings = [
        Finding(Level.WARNING, "environment", fault) for fault in unknown_variables(os.environ)
    ]
    findings += _check_settings(settings)
    findings += _check_home(settings.home)
    findings += _check_flower(os.environ.get(AUTH_VARIABLE))
    try:
        configuration = load_configuration(settings.config)
    except ConfigurationError as error:
        findings.append(Finding(Level.ERROR, "configuration", error.message))
    else:
        findings += _check_configuration(settings, configuration)
    return [*findings, *_check_services(settings)]


def _check_settings(settings: Settings) -> Iterator[Finding]:
    limit = raise_limit()
    try:
        check_enough(settings.max_in_flight, limit)
    except ConfigurationError as error:
        yield Finding(Level.ERROR, "files", error.message)
    else:
        message = f"{settings.max_in_flight} calls in flight, {limit} open files allowed"
        yield Finding(Level.OK, "files", message)
    try:
        token_counter(settings.token_counting)
    except ConfigurationError as error:
        yield Finding(Level.ERROR, "tokens", error.message)
    if 4 * (settings.call_deadline_s + settings.drain_grace_s) > REDELIVERY_S:
        yield Finding(
            Level.WARNING,
            "deadlines",
            f"a call may take {settings.call_deadline_s:g} s: a broker that hands out a slice "
            f"again after {REDELIVERY_S} s may do so while it still runs, which costs work",
        )


def _check_home(home: Path) -> Iterator[Finding]:
    if (fault := home_fault(home)) is not None:
        yield Finding(Level.ERROR, "home", f"{home} can't be used: {fault}")
        return
    free_mb = free_bytes(home) // 10**6
    if free_mb < LITTLE_ROOM_MB:
        yield Finding(Level.WARNING, "home", f"only {free_mb} MB are free where {home} is")


def _check_flower(login: str | None) -> Iterator[Finding]:
    if login is None:
        return
    try:
        require_login(login)
    except ConfigurationError as error:
        yield Finding(Level.ERROR, "flower", error.message)


def _check_configuration(settings: Settings, configuration: Configuration) -> Iterator[Finding]:
    path, names = settings.config, ", ".join(configuration.providers)
    if "config" in settings.model_fields_set and not path.exists():
        message = f"TIDEMILL_CONFIG names {path}, which does not exist"
        yield Finding(Level.ERROR, "configuration", message)
    elif not names:
        found = "names no provider" if path.exists() else "does not exist"
        yield Finding(Level.WARNING, "configuration", f"{path} {found}: no job can run")
    else:
        yield Finding(Level.OK, "configuration", f"{path}: {names}")
    for name, route in configuration.routes.items():
        yield Finding(Level.OK, f"route {name}", _described(route))
    lanes = [name for name, provider in configuration.providers.items() if provider.lane]
    if lanes:
        yield Finding(Level.OK, "batch lanes", f"{', '.join(lanes)}: half price, within a day")
    for provider, fault in key_faults(configuration):
        yield Finding(Level.WARNING, f"provider {provider}", fault)


def _described(route: Route) -> str:
    """Say what a route does: `openai/a (3), mistral/b (1); the next one after 30 s`."""
    weights = [f" ({weight})" for weight in route.weights] or [""] * len(route.targets)
    targets = ", ".join(map("".join, zip(route.targets, weights, strict=True)))
    if len(route.targets) == 1:
        return targets
    return f"{targets}; the next one after {route.failover_after_s:g} s"


def _check_services(settings: Settings) -> Iterator[Finding]:
    yield _check_database(settings.resolved_database_url())
    embedded = str(settings.embedded_socket())
    embedded_runs = valkey.answers(settings.embedded_socket())
    for subject, url, ask in (
        ("broker", settings.resolved_broker_url(), lambda: _ask_broker(settings)),
        ("redis", settings.resolved_redis_url(), lambda: _ask_redis(settings)),
    ):
        if embedded in url and not embedded_runs:
            message = "the embedded server, which starts with `tidemill up`"
            yield Finding(Level.WARNING, subject, message)
        else:
            yield _tried(subject, ask)


def _check_database(url: str) -> Finding:
    scheme, _, rest = url.partition(":///")
    if scheme.startswith("sqlite"):
        file = Path(rest.partition("?")[0])
        try:
            require_locks(url)
        except ConfigurationError as error:
            return Finding(Level.ERROR, "database", str(error))
        if not file.exists():
            return Finding(Level.OK, "database", f"{file} is made at the first start")

    def ask() -> str:
        database = open_database(url, connections=1)
        try:
            if is_empty(database):
                return "answers, and is empty; its tables are made at the first start"
            check_schema(database)
        finally:
            database.close()
        return "answers, with this version's schema"

    return _tried("database", ask)


def _ask_broker(settings: Settings) -> str:
    celery = make_celery(settings)
    waiting = queue_length(celery, CONTROL_QUEUE)
    if waiting is None:
        # Once more, for the reason: a wrong password is not a server that is down.
        with celery.connection_for_write(connect_timeout=BROKER_CONNECTS_WITHIN_S) as connection:
            connection.connect()
        raise ConfigurationError("no answer; is TIDEMILL_BROKER_URL right, and the server up?")
    return f"answers; {waiting} control messages wait"


def _ask_redis(settings: Settings) -> str:
    url = settings.resolved_redis_url()
    if not settings.allow_open_redis and is_open(url):
        raise ConfigurationError(OPEN)
    fault, warning = look_at(url)
    if fault is not None:
        raise ConfigurationError(fault)
    return "answers" if warning is None else f"answers; {warning}"


def _tried(subject: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(Level.OK, subject, ask())
    except TidemillError as error:
        return Finding(Level.ERROR, subject, error.message)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is the finding
        return Finding(Level.ERROR, subject, f"{type(error).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    # The rest is for the driver's authors.
    return (str(error).splitlines() or [""])[0]

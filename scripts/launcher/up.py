"""`tidemill up`: everything on one machine, as children of one process."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jobs.configuration import load_configuration
from jobs.errors import ConfigurationError, ServiceUnavailable, TidemillError
from jobs.redis_safety import require_safe_redis
from jobs.settings import Settings
from jobs.store import ensure_first_key, migrate, open_database
from scripts.launcher import local_model, valkey
from scripts.launcher.environment import keep_to_itself
from scripts.launcher.flower_login import AUTH_VARIABLE, PASSWORD_FILE, USER, credentials
from scripts.launcher.full_disk import outlive_full_disk, outlive_reader
from scripts.launcher.home import hold, make_private_folder
from scripts.launcher.keys import key_faults
from scripts.launcher.mounts import require_locks
from scripts.launcher.part import Part, tidemill
from scripts.launcher.ready import answers, free_port, reachable, require_free_port
from scripts.launcher.supervisor import Supervisor, caught_signals

READY_WITHIN_S = 120.0
"""Far beyond the few seconds that it takes; a loaded machine and a cold disk are slow."""

MAX_CRASHES_BEFORE_READY = 3
LAST_LOG_LINES = 5


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `tidemill up` is told. `flower_port` is None where Flower is not wanted."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    flower_port: int | None = 5555
    local_model: bool = False


def up(settings: Settings, options: UpOptions, console: Console) -> int:
    """Run everything until SIGTERM or Ctrl-C, and return the exit status.

    Raises:
        ConfigurationError: it can't start like this: a taken port or home, a wrong setting.
        ServiceUnavailable: a part does not come up.
    """
    if options.port == options.flower_port:
        raise ConfigurationError(
            f"--port and --flower-port are both {options.port}; each needs one of its own"
        )
    keep_to_itself()
    outlive_full_disk()
    outlive_reader()
    require_locks(settings.resolved_database_url())
    require_safe_redis(settings)
    home = make_private_folder(settings.home.resolve())
    logs = make_private_folder(home / "logs")
    with hold(home), caught_signals() as signals:
        require_free_port(options.host, options.port, "--port")
        if options.flower_port is not None:
            require_free_port("127.0.0.1", options.flower_port, "--flower-port")
            credentials(settings, os.environ.get(AUTH_VARIABLE))
        options = _with_what_is_configured(settings, options, console)
        supervisor = Supervisor(logs, signals, lambda line: console.print(line, markup=False))
        began = time.monotonic()
        try:
            _start(supervisor, settings, options, logs)
            if not signals.asked_to_stop:
                console.print(_welcome(options, home, time.monotonic() - began))
            supervisor.run()
            console.print("Stopping: calls in flight may finish. Ctrl-C stops at once.")
        finally:
            supervisor.stop()
    console.print("Stopped.")
    return 0


def our_parts(settings: Settings, options: UpOptions, configuration_path: Path) -> list[Part]:
    """Return the API, the workers, the beat and Flower, told where this home is."""
    environment = {
        "TIDEMILL_HOME": str(settings.home.resolve()),
        "TIDEMILL_CONFIG": str(configuration_path),
        "TIDEMILL_PIPELINES": str(settings.pipelines_folder()),
    }
    drain_s = settings.drain_grace_s + 5.0
    address = ("--host", options.host, "--port", str(options.port))
    # Longer than a worker's: what is left of its live calls is settled, then read.
    api_s = settings.drain_grace_s + 8.0
    of_api = {**environment, **_flower_url(settings, options)}
    parts = [Part("api", tidemill("api", *address), of_api, stop_rank=1, stop_grace_s=api_s)]
    for number in range(1, options.workers + 1):
        name = f"worker-{number}"
        argv = tidemill("worker", "--name", name)
        own = {**environment, **_metrics_address(settings, number)}
        parts.append(Part(name, argv, own, stop_grace_s=drain_s))
    own = {**environment, **_metrics_address(settings, 0)}
    parts.append(Part("beat", tidemill("beat"), own, stop_grace_s=drain_s))
    if options.flower_port is not None:
        argv = tidemill("flower", "--port", str(options.flower_port))
        parts.append(Part("flower", argv, environment, stop_rank=1))
    return parts


def _flower_url(settings: Settings, options: UpOptions) -> dict[str, str]:
    """Tell the API where a person on this machine finds Flower, unless the operator says where."""
    if options.flower_port is None or settings.flower_url:
        return {}
    return {"TIDEMILL_FLOWER_URL": f"http://127.0.0.1:{options.flower_port}/"}


def _metrics_address(settings: Settings, number: int) -> dict[str, str]:
    """Give each part a port of its own from the configured one on: the beat's, then the workers'."""
    address = settings.metrics_host_and_port()
    if address is None:
        return {}
    host, port = address
    return {"TIDEMILL_METRICS_ADDRESS": f"{host}:{port + number}"}


def _start(supervisor: Supervisor, settings: Settings, options: UpOptions, logs: Path) -> None:
    home = settings.home.resolve()
    configuration_path, model_port = settings.config.resolve(), None
    if valkey.needed(settings):
        valkey.clear_leftover(settings)
        supervisor.start([valkey.server(settings)])
    if options.local_model:
        model_port = free_port()
        user_path, configuration_path = configuration_path, home / "local-model.toml"
        local_model.write_configuration(user_path, configuration_path, model_port)
        supervisor.start([local_model.server(model_port)])
    _prepare_database(settings, home)
    supervisor.start(our_parts(settings, options, configuration_path))
    _wait_until_ready(supervisor, options, model_port, logs)


def _prepare_database(settings: Settings, home: Path) -> None:
    database = open_database(settings.resolved_database_url(), connections=1)
    try:
        migrate(database)
        ensure_first_key(database, home)
    except TidemillError:
        raise
    except Exception as error:  # whatever the driver raises
        reason = (str(error).splitlines() or [""])[0]
        raise ServiceUnavailable(f"the database does not answer: {reason}") from error
    finally:
        database.close()


def _wait_until_ready(
    supervisor: Supervisor, options: UpOptions, model_port: int | None, logs: Path
) -> None:
    deadline = time.monotonic() + READY_WITHIN_S

    def ready_or_hopeless() -> bool:
        name, crashes = supervisor.worst()
        if crashes >= MAX_CRASHES_BEFORE_READY or time.monotonic() > deadline:
            raise ServiceUnavailable(_hopeless(name if crashes else "api", logs))
        return answers(options.host, options.port, "/readyz") and (
            model_port is None or answers("127.0.0.1", model_port, "/health")
        )

    supervisor.run_until(ready_or_hopeless, look_every_s=0.1)


def _hopeless(name: str, logs: Path) -> str:
    path = logs / f"{name}.log"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    tail = "\n  ".join(lines[-LAST_LOG_LINES:])
    return f"{name} does not come up; the end of {path}:\n  {tail}"


def _with_what_is_configured(settings: Settings, options: UpOptions, console: Console) -> UpOptions:
    configuration = load_configuration(settings.config)
    for provider, fault in key_faults(configuration):
        console.print(f"Warning: provider {provider}: {fault}", markup=False)
    if configuration.providers or options.local_model:
        return options
    console.print(
        "Warning: no provider is configured, so no worker is started: describe one in "
        f"{settings.config} and start again, or try --local-model",
        markup=False,
    )
    return replace(options, workers=0)


def _welcome(options: UpOptions, home: Path, took_s: float) -> Panel:
    address = f"http://{reachable(options.host)}:{options.port}"
    rows = [("Address", f"{address}/"), ("API key", str(home / "api-key"))]
    if options.flower_port is not None:
        rows.append(("Flower", f"http://127.0.0.1:{options.flower_port}/"))
        chosen = AUTH_VARIABLE in os.environ
        login = (
            f"as in {AUTH_VARIABLE}" if chosen else f"{USER}, password in {home / PASSWORD_FILE}"
        )
        rows.append(("Flower login", login))
    if options.local_model:
        rows.append(("Local model", f"{local_model.PROVIDER}/{local_model.MODEL}"))
    rows += [
        ("Logs", str(home / "logs")),
        ("Submit", "tidemill submit JOBS.jsonl --watch"),
        ("Stop", "Ctrl-C"),
    ]
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, "bold"), Text(value))
    return Panel.fit(table, title=f"Tidemill is ready ({took_s:.1f} s)", border_style="green")

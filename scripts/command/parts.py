"""The commands that start something: everything on one machine, one part, a check, a simulator.

What they need is imported when they run: a client command must not pay for a server's imports.
"""

# ruff: noqa: PLC0415 - see above: imports within functions are the point here

import os
from typing import Annotated

import typer

from scripts.command.ending import ExitStatus

Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (up, api, worker, beat, flower, check):
        app.command()(command)
    app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(simulate)


def up(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes; one a core.")] = 1,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Leave Flower out.")] = False,
    flower_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Flower's port, on 127.0.0.1.")
    ] = 5555,
    local_model: Annotated[
        bool, typer.Option("--local-model", help="Also serve a small model on this machine.")
    ] = False,
) -> None:
    """Run everything on this machine: broker, API, workers, schedules, Flower.

    Ready when GET /readyz answers 200. Ctrl-C or SIGTERM lets calls in flight finish and stops.
    """
    from rich.console import Console

    from scripts.launcher.environment import read_settings
    from scripts.launcher.up import UpOptions
    from scripts.launcher.up import up as run

    options = UpOptions(
        host=host,
        port=port,
        workers=workers,
        flower_port=None if no_flower else flower_port,
        local_model=local_model,
    )
    raise typer.Exit(run(read_settings(), options, Console(highlight=False)))


def api(
    host: Host = "127.0.0.1",
    port: Port = 8080,
) -> None:
    """Serve the HTTP API, live calls among it; upgrades the database's schema first. SIGTERM drains."""
    from api.app import create_app
    from api.server.serving import serve
    from jobs.configuration import load_configuration
    from scripts.launcher.descriptors import raise_limit
    from scripts.launcher.environment import begin_part
    from scripts.launcher.home import make_private_folder
    from scripts.launcher.ready import require_free_port
    from workers.boot import live_calls

    settings = begin_part()
    require_free_port(host, port, "--port")
    if not settings.database_url:
        make_private_folder(settings.home)
    _upgrade_schema(settings.resolved_database_url())
    configuration = load_configuration(settings.config)
    application = create_app(settings, configuration, live_calls(settings, configuration))
    has_served = serve(
        application,
        host,
        port,
        open_files=raise_limit(),
        is_behind_proxy=bool(os.environ.get("FORWARDED_ALLOW_IPS")),
        drain_grace_s=settings.drain_grace_s,
    )
    if not has_served:
        raise typer.Exit(ExitStatus.UNREACHABLE)


def _upgrade_schema(url: str) -> None:
    from jobs.store import migrate, once_reachable, open_database

    database = open_database(url, connections=1)
    try:
        once_reachable(database, migrate)
    finally:
        database.close()


def worker(
    slots: Annotated[
        int, typer.Option(min=1, help="Slices open at once; each waits in a thread of 20 KB.")
    ] = 128,
    name: Annotated[str | None, typer.Option(help="Name in Flower; default: host and pid.")] = None,
) -> None:
    """Run jobs, from the queues of all configured providers. SIGTERM drains."""
    from jobs.configuration import load_configuration
    from scripts.launcher.descriptors import check_enough, raise_limit
    from scripts.launcher.environment import begin_part
    from workers.main import run_worker

    settings = begin_part()
    check_enough(settings.max_in_flight, raise_limit())
    configuration = load_configuration(settings.config)
    raise typer.Exit(run_worker(settings, configuration, slots=slots, name=name))


def beat() -> None:
    """Run the clocks: leases, lost messages, deadlines, pipelines. One is enough; more do no harm."""
    from jobs.configuration import load_configuration
    from scripts.launcher.environment import begin_part
    from workers.main import run_beat

    settings = begin_part()
    raise typer.Exit(run_beat(settings, load_configuration(settings.config)))


def flower(
    host: Host = "127.0.0.1",
    port: Port = 5555,
) -> None:
    """Serve Flower: workers, queues and tasks, read only and never without a password.

    The login is TIDEMILL_FLOWER_AUTH (user:password), else user `tidemill` with the password in
    $TIDEMILL_HOME/flower-password.
    """
    from scripts.launcher.environment import begin_part
    from scripts.launcher.flower import serve
    from scripts.launcher.flower_login import AUTH_VARIABLE, credentials
    from scripts.launcher.ready import require_free_port

    settings = begin_part()
    require_free_port(host, port, "--port")
    serve(settings, credentials(settings, os.environ.get(AUTH_VARIABLE)), host, port)


def check(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the configuration and whether what it names answers. Exit status 1 on an error."""
    from scripts.launcher.checks import Level, examine
    from scripts.launcher.report import as_json, print_table

    findings = examine()
    if json:
        typer.echo(as_json(findings))
    else:
        from rich.console import Console

        print_table(findings, Console(highlight=False))
    raise typer.Exit(int(any(finding.level is Level.ERROR for finding in findings)))


def simulate(context: typer.Context) -> None:
    """Serve simulated providers on loopback; `tidemill simulate --help` lists its options."""
    from scripts.simulator import parse_arguments, serve

    serve(parse_arguments(context.args))

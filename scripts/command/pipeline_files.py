"""`tidemill pipelines check`: the files here, without a server."""

# ruff: noqa: PLC0415 - a client command must not pay for what only this one needs

import typer

from scripts.command.connection import Json
from scripts.command.render import print_json, printable, stdout


def check(as_json: Json = False) -> None:
    """Check the files here, without a server. Exit status 1 if something is wrong with one."""
    from jobs.configuration import load_configuration
    from jobs.pipelines.folder import PipelineFolder
    from jobs.routing import Catalogue
    from jobs.settings import Settings

    settings = Settings()
    folder = settings.pipelines_folder()
    found = PipelineFolder(folder, Catalogue(load_configuration(settings.config))).files()
    if as_json:
        print_json({"data": [{"file": str(each.path), "trouble": each.trouble} for each in found]})
    elif not found:
        stdout().print(f"There is no pipeline in {folder}.", soft_wrap=True)
    for each in () if as_json else found:
        told = each.trouble or f"{each.path}: {each.name} is in order"
        for line in told.splitlines():
            stdout().print(printable(line), soft_wrap=True)
    raise typer.Exit(int(any(each.trouble for each in found)))

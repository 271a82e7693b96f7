"""`scripts/screenshots`: runs the night, and takes a picture of every page."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
from rich.console import Console

from jobs.errors import TidemillError
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.provider import running_provider
from scripts.benchmarks.stores import Place
from scripts.benchmarks.system import running_system
from scripts.showcase import camera, fortnight, night

FOLDER = Path("docs/screenshots")

CASE = Case(Store.SQLITE, Latency.ZERO, workers=1, jobs=0, in_flight=400)

ANSWERS_WITHIN_S = 60.0

CONSOLE = Console(stderr=True, highlight=False)


def main() -> int:
    """Return the exit status: 1 if no pictures could be taken."""
    try:
        with ExitStack() as stack:
            provider = stack.enter_context(running_provider(night.LATENCY, *night.TROUBLES))
            configuration = night.configuration(provider.url)
            system = stack.enter_context(
                running_system(CASE, Place("", ""), configuration, provider="openai")
            )
            key = system.key_file.read_text(encoding="utf-8").strip()
            http = stack.enter_context(
                httpx.Client(
                    base_url=system.url,
                    headers={"x-api-key": key},
                    timeout=ANSWERS_WITHIN_S,
                    trust_env=False,
                )
            )
            fortnight.write(system.database)
            CONSOLE.print("The night is going on…")
            run = night.run_pipeline(http, system.key_file.parent)
            refs = night.send(http)
            camera.take(FOLDER, system.url, key, pictures(refs, run))
    except TidemillError as error:
        CONSOLE.print(f"screenshots: {error.message}", style="red", markup=False, soft_wrap=True)
        return 1
    CONSOLE.print(f"Pictures are in {FOLDER}.")
    return 0


def pictures(refs: Mapping[str, str], run: str) -> Mapping[str, str]:
    """Return the address of each picture's page by the picture's name."""
    invoices = f"/batches/{refs['invoices-november']}"
    return {
        "batches": "/",
        "batch-bad-schema": invoices,
        "batch-slow-pool": f"/batches/{refs['support-tickets']}",
        "batch-budget-gone": f"/batches/{refs['summaries-q3']}",
        "batch-done": f"/batches/{refs['product-blurbs']}",
        "results": f"{invoices}/results?status=failed",
        "result": f"/batches/{refs['reviews-fr']}/results/7",
        "pools": "/pools",
        "pipelines": "/pipelines",
        "run": f"/runs/{run}",
        "workers": "/workers",
        "usage": "/usage",
        "settings": "/settings",
    }


if __name__ == "__main__":
    sys.exit(main())

"""The README's section about the simulator, run as it stands there; only the port is another."""

import re
import shlex
import sys
from pathlib import Path

from tests.e2e.judging import each_job_has_one_result
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.processes import ProcessUnderTest
from tests.support.system import ROOT, lines, running_system

PORT_OF_THE_README = "9100"
MODELS = ("sim-small", "anthropic/sim-small", "gemini/sim-small", "mistral/sim-small")


def section() -> tuple[str, str]:
    """Return the configuration and the command of the README's section, at a free port."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    body = text.split("## A provider to try things on\n")[1].split("\n## ")[0]
    blocks = dict(re.findall(r"```(toml|sh)\n(.*?)```", body, re.DOTALL))
    port = str(free_port())
    assert all(PORT_OF_THE_README in block for block in blocks.values())
    toml, command = (blocks[kind].replace(PORT_OF_THE_README, port) for kind in ("toml", "sh"))
    return toml, command


def test_the_simulator_of_the_readme_serves_jobs_over_all_four_protocols(tmp_path: Path) -> None:
    toml, command = section()
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/tidemill"
    simulator = ProcessUnderTest(
        [sys.executable, "-m", "scripts.command", *arguments], tmp_path / "simulate.log", cwd=ROOT
    )
    with running_system(tmp_path / "own", "") as system:
        system.config.write_text(toml, encoding="utf-8")
        try:
            eventually(lambda: "url" in simulator.log(), 20.0, "the simulator is ready")
            system.start_up()
            jobs = [
                job
                for number, model in enumerate(MODELS)
                for job in lines(5, model=model, prefix=f"job{number}")
            ]
            batch_id = system.submit(jobs)
            batch = system.wait(batch_id)
            results = each_job_has_one_result(system, batch_id, len(jobs))
        finally:
            simulator.clear_away()
    assert {row["status"] for row in results} == {"succeeded"}
    assert {row["provider"] for row in results} == {"openai", "anthropic", "gemini", "mistral"}
    priced = [row["cost_usd"] for row in results if row["provider"] == "openai"]
    assert None not in priced
    # The section gives a price to one of the four, and says so.
    assert batch["unpriced_jobs"] == len(jobs) - len(priced)

"""What must hold of the tree as a whole."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import scrubbed

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("jobs", "workers", "api", "scripts")
SHELL_ENTRIES = (
    "scripts/install",
    "scripts/test",
    "scripts/demo",
    "scripts/trial-local",
    "scripts/bench",
    "scripts/chaos",
    "scripts/lock",
    ".ci/run",
)
VAGUE = {"utils", "util", "helpers", "common", "misc", "manager", "base", "data", "info"}

IMPORT_EVERYTHING = """
import importlib, sys, threading

FORBIDDEN = {"socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.posix_spawn"}
WRITES = set("wax+")
current = "?"

def watch(event, arguments):
    if event in FORBIDDEN:
        raise AssertionError(f"importing {current}: {event} {arguments}")
    if event == "open" and isinstance(arguments[1], str) and WRITES & set(arguments[1]):
        raise AssertionError(f"importing {current} writes {arguments[0]}")

sys.dont_write_bytecode = True
sys.addaudithook(watch)
for current in sys.argv[1:]:
    importlib.import_module(current)
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
assert not threads, threads
"""

REFUSED_BY_SETTINGS = {"TIDEMILL_MAX_IN_FLIGHT": "none", "TIDEMILL_CALL_DEADLINE_S": "-1"}
"""Whoever builds the settings on import fails with these."""


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def importable() -> Iterator[str]:
    for path in modules():
        # Entry points run when they are imported; Alembic runs its migrations, with a connection.
        if path.stem != "__main__" and "migrations" not in path.parts:
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield dotted.removesuffix(".__init__").removeprefix("api.client.")


def test_the_top_level_is_what_was_asked_for() -> None:
    for name in ("pyproject.toml", "docker-compose.yml", "README.md", "LICENSE"):
        assert (ROOT / name).is_file(), name
    for name in (*PACKAGES, "tests"):
        assert (ROOT / name / "__init__.py").is_file(), name


def test_every_file_has_a_word_of_the_domain_for_its_name() -> None:
    assert [str(path) for path in modules() if {path.stem, path.parent.name} & VAGUE] == []


def test_importing_anything_connects_to_nothing_writes_nothing_and_starts_nothing() -> None:
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", IMPORT_EVERYTHING, *importable()],
        cwd=ROOT,
        env={**scrubbed(os.environ), **REFUSED_BY_SETTINGS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_only_settings_and_entry_points_read_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in modules()
        if path.parts[len(ROOT.parts)] != "scripts" and _reads_environment(path)
    }
    client = "api/client/tidemill/connection.py"  # reads what says where the server is
    assert readers <= {"jobs/key_references.py", "jobs/settings.py", client}


def _reads_environment(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(
        isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        for node in ast.walk(tree)
    )


@pytest.mark.parametrize("name", SHELL_ENTRIES)
def test_a_shell_entry_can_be_run_and_parsed(name: str) -> None:
    path = ROOT / name
    assert os.access(path, os.X_OK)
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    done = subprocess.run(  # noqa: S603 - reads the script without running it
        ["/bin/bash", "-n", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""Output into a file whose disk is full ends nobody, and says afterwards how much is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TALKER = """
import resource, sys
from scripts.launcher.full_disk import outlive_full_disk

outlive_full_disk()
print("one", flush=True)
_soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
for stream in (sys.stdout, sys.__stdout__, sys.stderr):
    print("two", "\\nthree", file=stream, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print("four")
raise SystemExit(3)
"""


FAILED = {1, 120}
"""How Python ends whose error could not be told: 120 if its buffers can't be written at the end, either."""


def said(folder: Path, program: str) -> tuple[int, str]:
    log = folder / "log"
    with log.open("ab") as output:
        done = subprocess.run(  # noqa: S603 - a program of this test
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=30.0,
        )
    return done.returncode, log.read_text(encoding="utf-8")


def test_what_finds_no_room_is_lost_and_counted(tmp_path: Path) -> None:
    status, text = said(tmp_path, TALKER)
    assert status == 3
    assert text == "one\n\n4 lines were lost: the disk was full\nfour\n"


def test_without_that_the_same_program_fails(tmp_path: Path) -> None:
    status, text = said(tmp_path, TALKER.replace("\noutlive_full_disk()\n", "\n"))
    assert status in FAILED
    assert text == "one\n"


PIPED = """
import sys
from scripts.launcher.full_disk import outlive_full_disk

before = sys.stdout, sys.stderr
outlive_full_disk()
print(before == (sys.stdout, sys.stderr))
"""


def test_a_pipe_is_left_alone() -> None:
    done = subprocess.run(  # noqa: S603 - a program of this test
        [sys.executable, "-c", PIPED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


UNREAD = """
import os, sys
from scripts.launcher.full_disk import outlive_reader

outlive_reader()
print("one", flush=True)
sys.stdin.readline()
for stream in (sys.stdout, sys.__stdout__, sys.stderr):
    print("two", file=stream, flush=True)
os._exit(3)
"""


@pytest.mark.parametrize(
    ("program", "statuses"),
    [(UNREAD, {3}), (UNREAD.replace("\noutlive_reader()\n", "\n"), FAILED)],
)
def test_who_is_read_no_more_goes_on(program: str, statuses: set[int]) -> None:
    """And without that the same program fails."""
    talker = subprocess.Popen(  # noqa: S603 - a program of this test
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert talker.stdin is not None
    assert talker.stdout is not None
    assert talker.stdout.readline() == b"one\n"
    talker.stdout.close()
    talker.stdin.close()
    assert talker.wait(30.0) in statuses


def test_an_output_that_is_closed_is_no_obstacle() -> None:
    program = (
        "import os; os.close(1); from scripts.launcher import full_disk; full_disk.outlive_reader()"
    )
    done = subprocess.run(  # noqa: S603 - a program of this test
        [sys.executable, "-c", program], cwd=ROOT, check=False, timeout=30.0
    )
    assert done.returncode == 0

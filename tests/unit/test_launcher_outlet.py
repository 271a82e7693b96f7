"""Output whose reader stands still holds nobody up, loses nothing while it is read, and says what it lost."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.launcher.outlet import LAST_WORDS_S, ROOM_BYTES

ROOT = Path(__file__).resolve().parents[2]

LINE_BYTES = 100
MANY_LINES = 3 * ROOM_BYTES // LINE_BYTES
ENDS_WITHIN_S = 30.0

TALKER = f"""
import sys
from scripts.launcher.outlet import unblock_output
unblock_output()
for number in range(int(sys.argv[1])):
    print(f"{{number:0{LINE_BYTES - 1}}}", flush=True)
print("the end", file=sys.stderr)
raise SystemExit(3)
"""


def talker(lines: int, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - a program of this test
        [sys.executable, *options, "-c", TALKER, str(lines)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_all_that_is_read_arrives_with_the_last_words() -> None:
    with talker(MANY_LINES // 4) as process:
        said, last_words = process.communicate(timeout=ENDS_WITHIN_S)
    assert [int(line) for line in said.splitlines()] == list(range(MANY_LINES // 4))
    assert last_words == b"the end\n"
    assert process.returncode == 3


@pytest.mark.parametrize("options", [(), ("-u",)], ids=["lines", "pieces of lines"])
def test_a_reader_that_stands_still_keeps_nobody_from_going_on_and_is_told_what_it_missed(
    options: tuple[str, ...],
) -> None:
    with talker(MANY_LINES, *options) as process:
        assert process.stderr is not None
        # Read only after all was written, or it would not have been told to go on to here.
        assert process.stderr.readline() == b"the end\n"
        assert process.stdout is not None
        said = process.stdout.read()
        assert process.wait(ENDS_WITHIN_S) == 3
    words = said.split()
    numbers = [int(word) for word in words if len(word) == LINE_BYTES - 1]
    dropped = sum(int(line.split()[0]) for line in said.splitlines() if b"dropped" in line)
    assert numbers[:1000] == list(range(1000))
    assert dropped > 0
    assert len(numbers) + dropped >= MANY_LINES - 2  # a gap may cut a line at either end
    assert len(numbers) + dropped <= MANY_LINES + 2


def test_a_slow_reader_gets_the_last_words_too() -> None:
    with talker(ROOM_BYTES // LINE_BYTES) as process:
        assert process.stdout is not None
        numbers: list[bytes] = []
        while block := process.stdout.read(ROOM_BYTES // 4):
            numbers += block.split()
            time.sleep(LAST_WORDS_S * 0.6)  # longer than that in all
    assert int(numbers[-1]) == ROOM_BYTES // LINE_BYTES - 1


def test_a_reader_that_is_gone_ends_nobody() -> None:
    with talker(MANY_LINES) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(ENDS_WITHIN_S) == 3

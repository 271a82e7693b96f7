"""How parts are started."""

import subprocess
from pathlib import Path

from scripts.launcher.part import tidemill


def test_a_users_own_files_are_not_taken_for_ours(tmp_path: Path) -> None:
    for name in ("jobs", "api", "workers", "scripts", "redis"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    done = subprocess.run(  # noqa: S603  (our own command)
        tidemill("check", "--help"), cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")

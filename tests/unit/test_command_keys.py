"""`tidemill keys`, as a person runs it: on the database of a home, without a server."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.clock import utcnow
from scripts import command
from tests.support.templates import copy_sqlite
from tests.unit.test_command_line import one_line

Tidemill = Callable[..., Result]


@pytest.fixture
def tidemill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tidemill:
    """The command in a home with a database."""
    monkeypatch.setenv("TIDEMILL_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    copy_sqlite(tmp_path / "tidemill.db")
    return lambda *arguments: CliRunner().invoke(command.app, list(arguments))


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65, "../x", "a b", "é"])
def test_a_project_has_a_name_that_can_be_typed_anywhere(tidemill: Tidemill, name: str) -> None:
    ended = tidemill("keys", "create", "--project", name)
    assert ended.exit_code == 2
    assert "expected 1 to 64 letters, digits" in one_line(ended.stderr)
    assert tidemill("keys", "list").stdout == ""
    assert tidemill("keys", "create", "--project", "Team_1.a-b").exit_code == 0


def test_a_key_is_revoked_by_what_the_list_shows(tidemill: Tidemill) -> None:
    key = tidemill("keys", "create").stdout.strip()
    shown = tidemill("keys", "list").stdout.split()[0]
    assert shown == f"{key[:9]}…"
    ended = tidemill("keys", "revoke", shown, "--json")
    assert ended.exit_code == 0, ended.stderr
    revoked = json.loads(ended.stdout)
    assert (revoked["prefix"], revoked["project"]) == (key[:9], "default")
    assert revoked["revoked_at"]
    assert "revoked" in tidemill("keys", "list").stdout
    again = tidemill("keys", "revoke", shown)
    assert (again.exit_code, one_line(again.stderr).count("0 living keys")) == (4, 1)


def test_too_little_of_a_key_revokes_none_and_more_is_asked_for(tidemill: Tidemill) -> None:
    keys = [tidemill("keys", "create").stdout.strip() for _ in range(2)]
    for begin, said in (("tm_", "2 living keys begin"), (keys[0][:8], "1 living key begins")):
        ended = tidemill("keys", "revoke", begin)
        assert ended.exit_code == 4
        assert f"{said} with '{begin}'; expected all that" in one_line(ended.stderr)
    assert "revoked" not in tidemill("keys", "list").stdout


def test_a_key_may_as_much_and_lives_as_long_as_it_is_told(tidemill: Tidemill) -> None:
    made = tidemill(
        "keys",
        "create",
        "--scopes",
        "submit,read",
        "--expires",
        "30d",
        "--name",
        "nightly",
        "--json",
    )
    assert made.exit_code == 0, made.stderr
    key = json.loads(made.stdout)
    assert (key["scopes"], key["name"]) == ("read,submit", "nightly")
    left = datetime.fromisoformat(key["expires_at"]) - utcnow()
    assert timedelta(days=30) - left < timedelta(minutes=1)
    (shown,) = json.loads(tidemill("keys", "list", "--json").stdout)["data"]
    assert {name: shown[name] for name in ("name", "scopes", "expires_at", "state")} == {
        **{name: key[name] for name in ("name", "scopes", "expires_at")},
        "state": "valid",
    }
    line = one_line(tidemill("keys", "list").stdout)
    assert "valid  read,submit" in line
    assert line.endswith("nightly")


@pytest.mark.parametrize(
    "option",
    [
        ("--scopes", "read,write"),
        ("--scopes", ""),
        ("--expires", "30"),
        ("--expires", "0d"),
        ("--expires", "-1d"),
        ("--name", ""),
        ("--name", "a\x1b[2J"),
        ("--name", "x" * 101),
    ],
)
def test_a_key_that_is_told_nonsense_is_not_made(
    tidemill: Tidemill, option: tuple[str, str]
) -> None:
    ended = tidemill("keys", "create", *option)
    assert ended.exit_code == 2
    assert "expected" in one_line(ended.stderr)
    assert tidemill("keys", "list").stdout == ""

"""What `tidemill check` finds in an environment that can't work, or not as it was meant."""

from pathlib import Path

import pytest

from scripts.launcher import checks
from scripts.launcher.checks import Finding, Level, examine


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(subject: str, level: Level) -> str:
    findings = [finding for finding in examine() if finding.subject == subject]
    assert [finding.level for finding in findings] == [level], examine()
    return findings[0].message


def test_nothing_said_is_no_error() -> None:
    assert Level.ERROR not in {finding.level for finding in examine()}


def test_a_configuration_that_was_named_and_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "does not exist" in found("configuration", Level.WARNING)
    monkeypatch.setenv("TIDEMILL_CONFIG", "tidemil.toml")
    assert "TIDEMILL_CONFIG names tidemil.toml" in found("configuration", Level.ERROR)


def test_a_home_that_can_not_be_made_is_an_error(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("TIDEMILL_HOME", str(folder / "file" / "home"))
    assert "file is no folder" in found("home", Level.ERROR)


def test_a_disk_that_is_nearly_full_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "free_bytes", lambda _home: 99_999_999)
    assert "only 99 MB are free" in found("home", Level.WARNING)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDEMILL_LOG_LEVEL", "loud"),
        ("TIDEMILL_CALL_DEADLINE_S", "inf"),
        ("TIDEMILL_DRAIN_GRACE_S", "nan"),
    ],
)
def test_a_value_that_can_not_be_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    (finding,) = examine()
    assert (finding.level, finding.subject) == (Level.ERROR, "environment")
    assert finding.message.startswith(f"{name}: ")


def test_a_log_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_LOG_LEVEL", "debug")
    assert "environment" not in {finding.subject for finding in examine()}


def test_a_misspelt_variable_is_told_with_the_closest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_DATABSE_URL", "postgresql://x")
    message = found("environment", Level.WARNING)
    assert message.startswith("TIDEMILL_DATABSE_URL is no variable")
    assert "did you mean TIDEMILL_DATABASE_URL?" in message


@pytest.mark.parametrize("url", ["kafka://x", "foo://x", "127.0.0.1:6379"])
def test_a_broker_of_another_kind_is_told_which_there_are(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TIDEMILL_BROKER_URL", url)
    monkeypatch.setenv("TIDEMILL_REDIS_URL", "redis://127.0.0.1:1")
    message = found("broker", Level.ERROR)
    assert "redis://, rediss://, redis+socket://, amqp://, amqps://" in message


def test_a_wrong_password_of_the_broker_is_no_server_that_is_down(
    monkeypatch: pytest.MonkeyPatch, rabbitmq_url: str
) -> None:
    _, _, address = rabbitmq_url.rpartition("@")
    monkeypatch.setenv("TIDEMILL_BROKER_URL", f"amqp://guest:wrong@{address}")
    assert "ACCESS_REFUSED" in found("broker", Level.ERROR)


def test_a_database_of_another_kind_is_told_which_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", "mysql://user:SECRET@x/y")
    message = found("database", Level.ERROR)
    assert "expected postgresql://, got mysql://" in message
    assert "SECRET" not in message


@pytest.mark.parametrize("login", ["", "x", "x:", ":y"])
def test_a_login_of_flower_without_a_password_is_an_error(
    monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    monkeypatch.setenv("TIDEMILL_FLOWER_AUTH", login)
    assert "user:password" in found("flower", Level.ERROR)


def test_findings_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_BROKER_URL", "kafka://user:SECRET@x")
    findings: list[Finding] = examine()
    assert "SECRET" not in str(findings)


def test_who_has_a_batch_lane_is_told(folder: Path) -> None:
    sections = {
        "openai": 'protocol = "openai"\nbase_url = "https://api.openai.com/v1"\n',
        "local": 'protocol = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n',
        "mistral": 'protocol = "mistral"\nbase_url = "https://api.mistral.ai/v1"\n'
        "batch_lane = { enabled = false }\n",
    }
    text = "".join(f"[providers.{name}]\n{section}" for name, section in sections.items())
    (folder / "tidemill.toml").write_text(text)
    assert found("batch lanes", Level.OK) == "openai: half price, within a day"

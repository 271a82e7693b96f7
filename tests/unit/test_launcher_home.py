"""The home of one machine: private, held by one launcher, and checked before anything starts."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.configuration import Configuration, load_configuration
from jobs.errors import ConfigurationError
from jobs.settings import Settings
from scripts.launcher import environment, local_model, valkey
from scripts.launcher.checks import Finding, Level, examine
from scripts.launcher.descriptors import check_enough
from scripts.launcher.flower_login import PASSWORD_FILE, credentials
from scripts.launcher.home import hold, make_private_folder, stored_secret
from scripts.launcher.keys import key_faults
from scripts.launcher.mounts import network_file_system, require_locks
from scripts.launcher.ready import answers, require_free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def environment_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("TIDEMILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEMILL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# The home


def test_the_home_is_private_also_when_it_was_not(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    assert mode(make_private_folder(folder)) == 0o700


def test_two_launchers_on_one_home_refuse(tmp_path: Path) -> None:
    with hold(tmp_path):
        source = (
            "import sys; from pathlib import Path; from scripts.launcher.home import hold\n"
            "with hold(Path(sys.argv[1])): print('held')"
        )
        other = subprocess.run(  # noqa: S603 - the test's own script
            [sys.executable, "-c", source, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert other.stdout == ""
        assert f"process {os.getpid()}) already uses {tmp_path}" in other.stderr
    with hold(tmp_path):
        pass


def test_a_stored_secret_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert stored_secret(path, lambda: "first") == "first"
    assert stored_secret(path, lambda: "second") == "first"
    assert mode(path) == 0o600


def test_flower_has_a_password_that_nobody_chose(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    user, _, password = credentials(settings, None).partition(":")
    assert user == "tidemill"
    assert len(password) >= 24
    assert mode(tmp_path / PASSWORD_FILE) == 0o600
    assert credentials(settings, None) == f"{user}:{password}"


@pytest.mark.parametrize("configured", ["", ":", "ada", "ada:", ":secret"])
def test_flower_refuses_half_a_login(tmp_path: Path, configured: str) -> None:
    with pytest.raises(ConfigurationError, match="never open"):
        credentials(Settings(home=tmp_path), configured)


def test_flower_takes_the_login_that_is_configured(tmp_path: Path) -> None:
    assert credentials(Settings(home=tmp_path), "ada:a:b") == "ada:a:b"


# The local model


def test_the_local_model_joins_the_users_configuration(tmp_path: Path) -> None:
    source, target = tmp_path / "tidemill.toml", tmp_path / "local-model.toml"
    source.write_text('[providers.mine]\nprotocol = "openai"\nbase_url = "http://mine/v1"')
    local_model.write_configuration(source, target, 4711)
    configuration = load_configuration(target)
    assert list(configuration.providers) == ["mine", "local"]
    local = configuration.providers["local"]
    assert local.base_url == "http://127.0.0.1:4711/v1"
    assert local.models == ("gemma3-270m",)
    assert local.pools[0].limits.concurrency == 4
    assert configuration.prices["local/gemma3-270m"].output == "0.04"


def test_the_local_model_needs_no_configuration_of_the_user(tmp_path: Path) -> None:
    target = tmp_path / "local-model.toml"
    local_model.write_configuration(tmp_path / "none.toml", target, 4711)
    assert list(load_configuration(target).providers) == ["local"]


def test_the_local_model_leaves_another_local_provider_alone(tmp_path: Path) -> None:
    source = tmp_path / "tidemill.toml"
    source.write_text('[providers.local]\nprotocol = "openai"\nbase_url = "http://mine/v1"')
    with pytest.raises(ConfigurationError, match="'local' already"):
        local_model.write_configuration(source, tmp_path / "out.toml", 4711)


# What is checked


MOUNTS = """\
overlay / overlay rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/ada/local ext4 rw 0 0
//pc/share /mnt/my\\040share cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/tidemill.db", None),
        ("/home/ada/tidemill.db", "nfs4"),
        ("/home/ada/local/tidemill.db", None),
        ("/mnt/my share/tidemill.db", "cifs"),
        ("/homework/tidemill.db", None),
    ],
)
def test_network_file_systems_are_recognised(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == kind


def test_no_part_starts_on_sqlite_where_its_locks_do_not_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/tidemill.db"
    require_locks(url)
    monkeypatch.setattr("scripts.launcher.mounts.network_file_system", lambda _path: "nfs4")
    require_locks("postgresql+psycopg://localhost/tidemill")
    with pytest.raises(
        ConfigurationError, match=r"tidemill\.db is on a network file system \(nfs4"
    ):
        require_locks(url)
    for name in ("keep_to_itself", "unblock_output", "outlive_full_disk"):
        monkeypatch.setattr(environment, name, lambda: None)  # this process is the suite's
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", url)
    with pytest.raises(ConfigurationError, match="nfs4"):
        environment.begin_part()


def test_calls_in_flight_must_fit_into_the_open_files() -> None:
    check_enough(800, 1000)
    with pytest.raises(ConfigurationError, match="lower it to 800"):
        check_enough(801, 1000)


def configuration(base_url: str, keys: tuple[str, ...]) -> Configuration:
    return Configuration.model_validate(
        {
            "providers": {
                "p": {"protocol": "openai", "base_url": base_url, "pools": [{"keys": keys}]}
            }
        }
    )


@pytest.mark.parametrize(
    ("base_url", "keys", "fault"),
    [
        ("https://api.openai.com/v1", ("env:A_KEY",), None),
        ("https://api.openai.com/v1", (), "has no key"),
        ("https://api.openai.com/v1", ("env:NOT_SET",), "NOT_SET is not set"),
        ("http://127.0.0.1:8000/v1", (), None),
        ("http://10.1.2.3:8000/v1", (), None),
        ("http://vllm:8000/v1", (), None),
    ],
)
def test_missing_keys_are_named(
    monkeypatch: pytest.MonkeyPatch, base_url: str, keys: tuple[str, ...], fault: str | None
) -> None:
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    monkeypatch.delenv("NOT_SET", raising=False)
    faults = key_faults(configuration(base_url, keys))
    if fault is None:
        assert faults == []
    else:
        (found,) = faults
        assert found[0] == "p"
        assert fault in found[1]
        assert "sk-very-secret" not in found[1]


def examined() -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine()}


def test_a_first_start_has_warnings_and_no_errors() -> None:
    levels = {subject: finding.level for subject, finding in examined().items()}
    assert levels == {
        "files": Level.OK,
        "configuration": Level.WARNING,
        "database": Level.OK,
        "broker": Level.WARNING,
        "redis": Level.WARNING,
    }


def test_what_does_not_answer_is_an_error_that_keeps_passwords(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEMILL_BROKER_URL", "redis://:pa55word@127.0.0.1:1/0")
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", "postgresql://ada:pa55word@127.0.0.1:1/none")
    found = examined()
    for subject in ("broker", "redis", "database"):
        assert found[subject].level is Level.ERROR
        assert "pa55word" not in found[subject].message


def test_a_wrong_variable_is_the_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_MAX_IN_FLIGHT", "many")
    (finding,) = examine()
    assert finding.level is Level.ERROR
    assert "TIDEMILL_MAX_IN_FLIGHT" in finding.message


def test_more_calls_than_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_MAX_IN_FLIGHT", "100000000")
    assert examined()["files"].level is Level.ERROR


def test_exact_token_counts_without_their_package_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEMILL_TOKEN_COUNTING", "bpe")
    assert "tokens" not in examined()

    monkeypatch.setitem(sys.modules, "bpe_openai", None)
    assert examined()["tokens"].level is Level.ERROR


# Ports


def test_a_taken_port_is_named_with_the_option_that_helps() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} .* choose another with --port"):
            require_free_port("127.0.0.1", port, "--port")
    require_free_port("127.0.0.1", port, "--port")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"can't listen on 192\.0\.2\.1"):
        require_free_port("192.0.2.1", 8080, "--port")


def test_a_silent_port_is_not_ready() -> None:
    assert not answers("127.0.0.1", 1, "/readyz")


# The embedded server


@pytest.mark.parametrize(
    ("broker_url", "redis_url", "needed"),
    [
        ("", "", True),
        ("redis://broker", "", False),
        ("amqp://broker", "", True),
        ("amqp://broker", "redis://gate", False),
    ],
)
def test_the_embedded_server_runs_only_where_something_uses_it(
    broker_url: str, redis_url: str, needed: bool
) -> None:
    settings = Settings(broker_url=broker_url, redis_url=redis_url)
    assert valkey.needed(settings) is needed

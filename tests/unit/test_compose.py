"""The set-up for many machines: a valid file that starts our commands and gives away nothing."""

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest

from jobs.settings import Settings
from tests.support.compose import ROOT, compose_document, interpolate, service_command

SECRETS = {
    "TIDEMILL_POSTGRES_PASSWORD": "s3cret",
    "TIDEMILL_REDIS_PASSWORD": "r3dis",
    "TIDEMILL_FLOWER_AUTH": "tidemill:s3cret",
}

OURS = {
    "api": ("tidemill", "api", "--host", "0.0.0.0", "--port", "8080"),  # noqa: S104 - in a container
    "worker": ("tidemill", "worker"),
    "beat": ("tidemill", "beat"),
    "flower": ("tidemill", "flower", "--host", "0.0.0.0", "--port", "5555"),  # noqa: S104 - as above
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = compose_document()["services"]
    return found


def test_the_file_follows_the_compose_specification() -> None:
    path = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    specification = json.loads(path.read_text(encoding="utf-8"))
    jsonschema_rs.validator_for(specification).validate(compose_document())


def test_there_are_our_four_parts_and_two_servers(services: dict[str, Any]) -> None:
    assert set(services) == {*OURS, "valkey", "postgres"}


@pytest.mark.parametrize("name", OURS)
def test_a_part_runs_its_command_with_the_addresses_of_the_two_servers(name: str) -> None:
    service = service_command(name, SECRETS)
    assert service.argv == OURS[name]
    assert service.environment["TIDEMILL_DATABASE_URL"] == (
        "postgresql://tidemill:s3cret@postgres:5432/tidemill"
    )
    assert service.environment["TIDEMILL_BROKER_URL"] == "redis://tidemill:r3dis@valkey:6379/0"


@pytest.mark.parametrize("name", OURS)
def test_every_variable_that_a_part_is_given_is_one_that_it_reads(name: str) -> None:
    known = {f"TIDEMILL_{field.upper()}" for field in Settings.model_fields}
    assert set(service_command(name, SECRETS).environment) <= known | {"TIDEMILL_FLOWER_AUTH"}


@pytest.mark.parametrize("absent", SECRETS)
def test_nothing_starts_without_a_password_of_its_own(absent: str) -> None:
    variables = {name: value for name, value in SECRETS.items() if name != absent}
    with pytest.raises(KeyError, match=absent):
        service_command("flower", variables)


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    forms = re.findall(r"\$\{(\w+)(:[?-])?", text)
    assert {name for name, _ in forms} == set(SECRETS)
    assert {form for _, form in forms} == {":?"}


@pytest.mark.parametrize("name", OURS)
def test_a_part_can_write_only_where_it_must(name: str, services: dict[str, Any]) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    bound = [volume for volume in service["volumes"] if isinstance(volume, dict)]
    assert [volume["target"] for volume in bound] == ["/app/tidemill.toml", "/app/pipelines"]
    assert all(volume["read_only"] is True for volume in bound)


def test_provider_keys_reach_those_only_who_call_providers(services: dict[str, Any]) -> None:
    with_keys = {
        name
        for name, service in services.items()
        if any(file["path"] == "providers.env" for file in service.get("env_file", ()))
    }
    assert with_keys == {"api", "worker"}


def test_what_is_published_is_published_on_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"api", "flower"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_service_comes_back_and_nothing_keeps_it_from_being_scaled(
    services: dict[str, Any],
) -> None:
    for service in services.values():
        assert service["restart"] == "unless-stopped"
        assert "container_name" not in service


def test_a_worker_is_given_longer_to_stop_than_its_calls_may_take(
    services: dict[str, Any],
) -> None:
    seconds = int(services["worker"]["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings().drain_grace_s


def test_parts_wait_for_servers_that_are_healthy(services: dict[str, Any]) -> None:
    for name in OURS:
        for server, condition in services[name]["depends_on"].items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in services[server]


def test_the_broker_keeps_what_it_holds(services: dict[str, Any]) -> None:
    assert {"appendonly yes", "maxmemory-policy noeviction"} <= set(server_configuration())
    assert services["valkey"]["volumes"] == ["valkey:/data"]


def server_configuration() -> list[str]:
    content: str = compose_document()["configs"]["valkey"]["content"]
    return content.splitlines()


def test_the_broker_asks_for_a_password_and_none_stands_in_a_command(
    services: dict[str, Any],
) -> None:
    default, user = server_configuration()[:2]
    assert default == "user default off"
    assert user.startswith("user tidemill on >${TIDEMILL_REDIS_PASSWORD:?")
    for name, service in services.items():
        assert "PASSWORD" not in " ".join(service["command"]), name


def test_no_service_gains_rights_and_only_the_database_writes_to_its_own_system(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert {name for name, service in services.items() if not service.get("read_only")} == {
        "postgres"
    }


def test_a_commit_is_on_disk_before_it_is_answered(services: dict[str, Any]) -> None:
    assert "synchronous_commit=on" in services["postgres"]["command"]


def test_the_image_runs_pinned_packages_as_a_user_without_rights() -> None:
    instructions = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    last_stage = instructions[instructions.rindex("\nFROM ") :]
    assert re.search(r"^USER (?!root|0)\w+$", last_stage, re.MULTILINE)
    assert re.search(r"^WORKDIR /app$", last_stage, re.MULTILINE)
    assert "ENTRYPOINT []" in last_stage
    installs = re.findall(r"pip install (.*?)(?= \\|\n|&&)", instructions)
    assert installs
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${SET}", "value"),
        ("${UNSET}", ""),
        ("a-${SET}-b-${UNSET:-default}", "a-value-b-default"),
        ("${SET:?must be set}", "value"),
        ("$${SET}", "${SET}"),
    ],
)
def test_variables_are_replaced_as_compose_does(text: str, expected: str) -> None:
    assert interpolate(text, {"SET": "value"}) == expected

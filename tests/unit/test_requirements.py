"""What is installed: bounded from below, pinned by hash, free of versions known to be unsafe."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FILES = ("all.txt", "runtime.txt", "build.txt")

UNSAFE_BELOW = {
    "starlette": "1.3.1",
    "h11": "0.16",
    "celery": "5.7",
    "kombu": "5.7",
    "redis": "4.5.5",
}


class Pin(NamedTuple):
    """One entry of a requirements file, with the lines that belong to it."""

    requirement: Requirement
    text: str

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> Version:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return Version(specifier.version)


def pins(file_name: str) -> Iterator[Pin]:
    text = (ROOT / "requirements" / file_name).read_text(encoding="utf-8")
    for entry in re.split(r"\n(?=\S)", text.strip()):
        yield Pin(Requirement(entry.split(" \\\n")[0]), entry)


def project() -> dict[str, list[str]]:
    """Return what pyproject.toml asks for, by extra; "" are the dependencies proper."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": data["dependencies"], **data["optional-dependencies"]}


@pytest.mark.parametrize("line", project()[""])
def test_a_dependency_has_a_lower_bound(line: str) -> None:
    assert any(specifier.operator == ">=" for specifier in Requirement(line).specifier)


@pytest.mark.parametrize("file_name", FILES)
def test_every_pinned_version_is_pinned_by_hash(file_name: str) -> None:
    found = list(pins(file_name))
    assert found
    assert [
        pin.name for pin in found if not re.search(r"--hash=sha256:[0-9a-f]{64}", pin.text)
    ] == []


@pytest.mark.parametrize("file_name", FILES)
def test_the_pins_name_no_registry(file_name: str) -> None:
    text = (ROOT / "requirements" / file_name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize(("name", "floor"), UNSAFE_BELOW.items())
@pytest.mark.parametrize("file_name", ["all.txt", "runtime.txt"])
def test_no_version_with_a_known_hole_is_pinned(file_name: str, name: str, floor: str) -> None:
    pinned = [pin.version for pin in pins(file_name) if pin.name == name]
    assert pinned
    assert min(pinned) >= Version(floor)


@pytest.mark.parametrize(("name", "floor"), UNSAFE_BELOW.items())
def test_no_version_with_a_known_hole_is_allowed(name: str, floor: str) -> None:
    (requirement,) = (
        parsed for line in project()[""] if (parsed := Requirement(line)).name == name
    )
    bounds = [
        Version(specifier.version)
        for specifier in requirement.specifier
        if specifier.operator == ">="
    ]
    assert max(bounds) >= Version(floor)


@pytest.mark.parametrize("file_name", FILES)
def test_there_is_no_second_gateway_under_ours(file_name: str) -> None:
    assert "litellm" not in {pin.name for pin in pins(file_name)}


def test_everything_asked_for_is_pinned_at_a_version_that_was_asked_for() -> None:
    pinned = list(pins("all.txt"))
    for line in (line for lines in project().values() for line in lines):
        wanted = Requirement(line)
        found = [pin.version for pin in pinned if pin.name == canonicalize_name(wanted.name)]
        assert found, f"{wanted.name} is not pinned: run scripts/lock"
        assert all(wanted.specifier.contains(version) for version in found), line


def test_the_image_has_the_dependencies_and_the_driver_for_postgresql() -> None:
    pinned = {pin.name for pin in pins("runtime.txt")}
    wanted = [*project()[""], *project()["postgres"]]
    assert {canonicalize_name(Requirement(line).name) for line in wanted} <= pinned
    assert "pytest" not in pinned


@pytest.mark.parametrize("file_name", ["runtime.txt", "build.txt"])
def test_the_image_runs_the_versions_that_were_tested(file_name: str) -> None:
    tested = {(pin.name, pin.version) for pin in pins("all.txt")}
    assert {(pin.name, pin.version) for pin in pins(file_name)} <= tested

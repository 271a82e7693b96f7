"""Kinds of other packages: found by their entry point, or refused by name."""

from importlib.metadata import EntryPoint
from typing import Any

import msgspec
import pytest

from jobs.errors import ConfigurationError
from jobs.kinds import KINDS
from jobs.kinds.generation import Generation
from jobs.kinds.registry import GROUP, with_installed

HERE = __name__


class SummaryLine(msgspec.Struct):
    custom_id: str
    kind: str = "summary"
    model: str = ""


class Summary(Generation):
    name = "summary"
    line_type: Any = SummaryLine


class Unnamed(Summary):
    name = "other"


class WithoutFields(Summary):
    line_type = msgspec.Struct


class Broken:
    def __init__(self) -> None:
        raise OSError("no file")


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_an_installed_kind_is_found_by_its_name_beside_ours() -> None:
    kinds = with_installed((Generation(),), [entry("summary", f"{HERE}:Summary")])
    assert [*kinds] == ["generation", "summary"]
    assert isinstance(kinds["summary"], Summary)


def test_our_own_kinds_are_there_without_any() -> None:
    assert {"generation", "translation"} <= KINDS.keys()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("generation", f"{HERE}:Generation", "another kind of this name"),
        ("summary", "no_such_module:Summary", "can't be loaded: ModuleNotFoundError"),
        ("summary", f"{HERE}:NoSuchClass", "can't be loaded: AttributeError"),
        ("summary", f"{HERE}:Broken", "can't be loaded: OSError: no file"),
        ("summary", f"{HERE}:Unnamed", "is no kind"),
        ("summary", f"{HERE}:WithoutFields", "is no kind"),
        ("summary", "builtins:dict", "can't be loaded: AttributeError"),
    ],
)
def test_a_kind_that_can_not_be_is_named_at_once(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="the kind") as raised:
        with_installed((Generation(),), [entry(name, value)])
    assert said in str(raised.value)
    assert value in str(raised.value)


def test_two_packages_with_one_name_clash() -> None:
    twice = [entry("summary", f"{HERE}:Summary")] * 2
    with pytest.raises(ConfigurationError, match="another kind"):
        with_installed((Generation(),), twice)

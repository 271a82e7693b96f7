"""How deep a text may be: the same on every Python, whatever else it holds."""

import pytest

from jobs.strict_json import MAX_DEPTH, LooseJson, place_of, read_strict


def nested(opening: str, closing: str, levels: int) -> str:
    return opening * levels + '"x"' + closing * levels


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_what_is_read_can_be_walked_and_one_level_more_is_refused(
    opening: str, closing: str
) -> None:
    deepest = read_strict(nested(opening, closing, MAX_DEPTH))
    assert place_of(deepest, lambda found: found == "x") is not None
    for levels in (MAX_DEPTH + 1, 1200, 9000, 200_000):
        with pytest.raises(LooseJson) as refused:
            read_strict(nested(opening, closing, levels))
        assert refused.value.code == "too_deep"


def test_many_brackets_side_by_side_or_in_a_text_are_not_deep() -> None:
    assert read_strict("[" + "[]," * 1000 + '"' + "[" * 1000 + '"]')[0] == []

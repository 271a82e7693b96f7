"""Answers that a model broke off, refused, or went round in circles in."""

import time

import pytest

from jobs.exchange import Answer, Finish
from jobs.kinds.answers import LOOP_CHARACTERS, denied, loop, no_answer, repetition
from jobs.kinds.kind import Bad, Remedy

PROSE = (
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
    "conscience and should act towards one another in a spirit of brotherhood. Everyone is entitled to "
    "all the rights and freedoms set forth in this Declaration, without distinction of any kind, such "
    "as race, colour, sex, language, religion, political or other opinion, national or social origin, "
    "property, birth or other status. "
)


def answer(text: str, finish: Finish) -> Answer:
    return Answer(text=text, finish=finish, usage=None)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (PROSE + "and so on " * 60, "and so on"),
        ("ha" * 400, "ha"),
        (PROSE * 7, PROSE),
        ("水" * 500, "水"),
        (PROSE + "\n" + "- I am sorry.\n" * 80, "- I am sorry."),
    ],
)
def test_a_loop_at_the_end_is_found(text: str, unit: str) -> None:
    found = loop(text)
    assert found is not None
    # Where it was cut off, and with which of its words a round begins, is chance.
    assert sorted(found.split()) == sorted(unit.split())


@pytest.mark.parametrize(
    "text",
    [
        "",
        PROSE,
        PROSE * 3,  # a text with a refrain
        "and so on " * 60 + PROSE * 2,  # which it came out of
        PROSE + "-" * 80,
        "x" * (LOOP_CHARACTERS - 1),
        "\n".join(f"{n}. The {n}th of them." for n in range(200)),
        "\n".join(f"| {n} | {n * n} |" for n in range(200)),
    ],
)
def test_what_is_no_loop_is_not_taken_for_one(text: str) -> None:
    assert loop(text) is None


@pytest.mark.parametrize("unit", ["a", "ab", "[{", "a" * 3_000 + "b", "\n", "水", "a" * 1000])
def test_sixteen_megabytes_are_looked_at_in_no_time(unit: str) -> None:
    text = unit * (16_000_000 // len(unit))
    began = time.perf_counter()
    loop(text)
    repetition(text)
    assert time.perf_counter() - began < 1


def test_a_list_that_only_counts_on_repeats_itself_and_prose_does_not() -> None:
    assert repetition(PROSE) < 0.3
    assert repetition("The cat sat. " * 10) == 0  # too short to say
    assert repetition("\n".join(f"{n}. The cat sat on the mat." for n in range(100))) > 0.9


def test_a_truncated_loop_is_not_worth_more_tokens() -> None:
    bad = no_answer(answer("and so on " * 100, Finish.TRUNCATED))
    assert isinstance(bad, Bad)
    assert (bad.code, bad.remedy) == ("degenerate_output", Remedy.ASK)
    assert "`and so on" in bad.message or "on and so" in bad.message


@pytest.mark.parametrize("blank", [" ", "\n", "\t"])
def test_json_that_ends_in_blanks_without_end_is_a_loop(blank: str) -> None:
    """A model that must write JSON and doesn't know on; twice the room would be twice the blanks."""
    bad = no_answer(answer('{"name": "Eling",' + blank * 5000, Finish.TRUNCATED))
    assert bad is not None
    assert (bad.code, bad.remedy) == ("degenerate_output", Remedy.ASK)
    bad = no_answer(answer('{"name": "Eling",' + blank * 50, Finish.TRUNCATED))
    assert bad is not None
    assert bad.code == "truncated"


DENIALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, I can’t assist with that request.",
    "Sorry, I'm unable to help with this request.",
    "I cannot assist with that.",
    "Unfortunately, I am not able to fulfill your request.",
    "As an AI language model, I cannot comply with this request.",
    "I apologize, but I cannot fulfill this particular request as an AI language model.",
    "I'm sorry, but I can't help with that. If there is anything else, let me know!",
]


@pytest.mark.parametrize("text", DENIALS)
def test_a_refusal_in_words_is_one(text: str) -> None:
    bad = no_answer(answer(f" {text}\n", Finish.COMPLETE))
    assert bad is not None
    assert (bad.code, bad.remedy) == ("refused", Remedy.TURN)
    assert no_answer(answer(text, Finish.COMPLETE), may_deny=True) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I'm sorry to hear that your parcel is late.",
        "Sorry, we can't help with that road being closed.",
        "I can't help falling in love with you.",
        "I can't help it when the tide is out.",
        "I cannot assist with your move on Monday, but on Tuesday I can.",
        '"I can\'t help with that," said the miller.',
        "The miller said: I can't help with that.",
        f"I'm sorry, but I can't help with that. {PROSE}",
        '{"answer": "I can\'t help with that."}',
    ],
)
def test_a_text_about_what_cannot_be_done_is_no_refusal(text: str) -> None:
    assert not denied(text)


def test_a_loop_that_was_asked_for_is_cut_off_like_anything_else() -> None:
    bad = no_answer(answer("ha " * 400, Finish.TRUNCATED), may_loop=True)
    assert bad is not None
    assert (bad.code, bad.remedy) == ("truncated", Remedy.RAISE)


def test_a_complete_answer_may_repeat_itself() -> None:
    assert no_answer(answer("ha " * 400, Finish.COMPLETE)) is None

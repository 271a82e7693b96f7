"""What models write around a translation is taken off, and nothing else."""

import time

import pytest

from jobs.kinds.translation.tidying import tidied

SOURCE = "The mill grinds."
BARE = "Le moulin moud."


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (f"Here is the translation:\n\n{BARE}", "an introduction"),
        (f"Here's the French text:\n{BARE}", "an introduction"),
        (f"Sure, here you go:\n{BARE}", "an introduction"),
        (f"Voici la traduction :\n{BARE}", "an introduction"),
        (f"**Translation:**\n{BARE}".replace("**", ""), "an introduction"),
        (f"翻译：\n{BARE}", "an introduction"),
        (f"```\n{BARE}\n```", "a fence"),
        (f"```french\n{BARE}\n```", "a fence"),
        (f"<translation>{BARE}</translation>", "tags"),
        (f'"{BARE}"', "quotation marks"),
        (f"« {BARE} »", "quotation marks"),
        (f'Translation:\n```\n"{BARE}"\n```', "an introduction and a fence and quotation marks"),
    ],
)
def test_what_is_around_a_translation_is_taken_off(answer: str, what: str) -> None:
    assert tidied(answer, SOURCE) == (BARE, f"{what} around the translation")


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        (BARE, SOURCE),
        (f"Voici :\n{BARE}", "Here it is:\nThe mill grinds."),
        (f"Here is how it works:\n{BARE}", "Voici comment ça marche :\nx"),
        (f"Le moulin :\n{BARE}", "The mill\ngrinds."),
        ("```\nx\n```", "```\ny\n```"),
        ('"Oui", dit-il, "non"', "Yes, he said, no"),
        ('"Oui"', '"Yes"'),
        ("Here is the translation:", SOURCE),
        ("```\n```", SOURCE),
        ('"', SOURCE),
        ('""', SOURCE),
    ],
)
def test_what_may_belong_to_a_translation_stays(answer: str, source: str) -> None:
    assert tidied(answer, source) == (answer, None)


@pytest.mark.parametrize("unit", ['"', "`", "\n", "<translation>", "Sure, ", "翻", "```\n"])
def test_tidying_takes_linear_time(unit: str) -> None:
    text = unit * (2_000_000 // len(unit))
    began = time.perf_counter()
    tidied(text, SOURCE)
    assert time.perf_counter() - began < 2  # 0.02 s

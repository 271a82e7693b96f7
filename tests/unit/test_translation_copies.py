"""Answers of the local model that passed for translations, and what people do that looks alike."""

from typing import Any

import pytest

from jobs.exchange import Answer, Finish
from jobs.kinds.kind import Bad, Good, Remedy, Verdict
from jobs.kinds.translation import Translation, TranslationLine

NATIONALITY = (
    "1. Everyone has the right to a nationality.\n"
    "2. No one shall be arbitrarily deprived of his nationality nor denied the right to change his "
    "nationality."
)
ASYLUM = (
    "1. Everyone has the right to seek and to enjoy in other countries asylum from persecution.\n"
    "2. This right may not be invoked in the case of prosecutions genuinely arising from "
    "non-political crimes or from acts contrary to the purposes of the United Nations."
)
EQUALITY = (
    "All are equal before the law and are entitled without any discrimination to equal protection of "
    "the law. All are entitled to equal protection against any discrimination in violation of this "
    "Declaration and against any incitement to such discrimination."
)


def judged(text: str, answer: str, **fields: Any) -> Verdict:
    given: dict[str, Any] = {"source": "en", "target": "es", **fields}
    line = TranslationLine(custom_id="a", text=text, **given)
    return Translation().plan(line).judge((), Answer(answer, Finish.COMPLETE, None))


def code_of(verdict: Verdict) -> str | None:
    return verdict.code if isinstance(verdict, Bad) else None


@pytest.mark.parametrize("source", ["en", None])
def test_a_sentence_that_was_left_in_the_sources_language_is_found(source: str | None) -> None:
    answer = "1. Todos tienen la misma nacionalidad.\n" + NATIONALITY.partition("\n")[2]
    bad = judged(NATIONALITY, answer, source=source)
    assert isinstance(bad, Bad)
    assert (bad.code, bad.remedy) == ("wrong_language", Remedy.TELL)
    assert "`No one shall be arbitrarily deprived" in bad.message


def test_a_text_of_json_that_was_left_as_it_is_is_found_among_the_others() -> None:
    right = "Everyone has the right to a nationality of his own choice."
    text = f'["{right}", "The mill grinds corn by the river."]'
    left = f'{{"1": "{right}", "2": "El molino muele junto al río."}}'
    done = left.replace(right, "Toda persona tiene derecho a una nacionalidad que elija.")
    assert code_of(judged(text, left, format="json")) == "wrong_language"
    assert isinstance(judged(text, done, format="json"), Good)


def test_a_quotation_in_a_third_language_stays_as_it_is() -> None:
    motto = "Liberté, égalité, fraternité sont les trois mots que nous devons toujours apprendre."
    assert judged(
        f"He always said: it is a fine day.\n{motto}", f"Siempre decía: es un buen día.\n{motto}"
    ) == Good(f"Siempre decía: es un buen día.\n{motto}")


def test_a_short_part_of_a_text_may_be_a_title_that_stays() -> None:
    title = "The Decline and Fall of the Roman Empire and other stories of that long past time."
    told = "Este libro cuenta la historia de un imperio que duró mil años y que cayó en una noche. "
    text = f"{'This book tells the story of an empire that lasted a thousand years. ' * 8}{title}"
    answer = f"{told * 7}{title}"
    assert isinstance(judged(text, answer), Good)


def test_what_is_to_stay_in_its_language_may_stay() -> None:
    assert isinstance(judged(NATIONALITY, NATIONALITY, target="en-GB"), Good)
    assert isinstance(judged(NATIONALITY, NATIONALITY, target="en-GB", source=None), Good)


def test_a_line_in_the_sources_language_is_found_though_it_is_no_copy() -> None:
    answer = (
        "1. Todos tienen la misma nacionalidad.\n"
        "2. No one shall be arbitrarily deprived of his national nationality."
    )
    assert code_of(judged(NATIONALITY, answer)) == "wrong_language"


def test_a_sentence_that_is_said_twice_for_two_is_found() -> None:
    sentence = "Tous sont égaux devant la loi et sont tenus de ne pas inciter à la discrimination."
    bad = judged(EQUALITY, f"{sentence} {sentence}", target="fr")
    assert code_of(bad) == "degenerate_output"


def test_a_line_that_is_said_twice_for_two_is_found() -> None:
    line = "Todos tienen el derecho a buscar y a disfrutar en otros países."
    bad = judged(ASYLUM, f"1. {line}\n2. {line}")
    assert isinstance(bad, Bad)
    assert (bad.code, bad.remedy) == ("degenerate_output", Remedy.ASK)
    assert "the answer says twice: `Todos tienen" in bad.message


def test_lines_that_are_alike_in_the_source_may_be_the_same() -> None:
    text = (
        "Please enter the correct password, then press the key.\n"
        "Please enter the correct passwords, then press the key!"
    )
    line = "Introduzca la contraseña correcta y pulse la tecla."
    assert isinstance(judged(text, f"{line}\n{line}"), Good)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Todos son iguales antes de la ley y son dueños de la ley.", "degenerate_output"),
        (
            "Todos son iguales ante la ley y tienen, sin distinción, derecho a igual protección de la ley. "
            "Todos tienen derecho a igual protección contra toda discriminación.",
            None,
        ),
    ],
)
def test_a_long_text_that_lost_most_of_itself_is_found(answer: str, code: str | None) -> None:
    assert code_of(judged(EQUALITY, answer)) == code

"""Numbers of a text are found again in its translation, however they are written there."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.translation.figures import lost_numbers

SAME = [
    ("1,000.5", "1.000,5"),
    ("1,000,000 people in 2024", "1 000 000 de personnes en 2024"),
    ("1,234,567.89", "1\u202f234\u202f567,89"),
    ("1,00,000", "100000"),
    ("2024 2025", "2025 et 2024"),
    ("12, 13 and 14", "12, 13 et 14"),
    ("in the 21st century", "au XXIe siècle"),
    ("in the 19th century", "в XIX веке"),
    ("at 10:30 PM", "à 22 h 30"),
    ("5 million", "500万"),
    ("12 thousand", "12000"),
    ("$3.50", "3,5 €"),
    ("10.00", "10"),
    ("007", "7"),
    ("I have 3", "j'en ai trois"),
    ("٣٤٥", "345"),
    ("345", "३४५"),
    ("11/27/2026", "27.11.2026"),
    ("42 is 42", "c'est 42"),
    ("12 months", "zwölf Monate"),
    ("in the 1990s", "in den Neunzigern"),
    ("open 24/7", "rund um die Uhr"),
    ("13 files", "fichiers,13"),
    ("in 2024, the 21st", "二〇二四年、二十一世紀"),
    ("314", "三百一十四"),
]


@pytest.mark.parametrize(("source", "answer"), SAME)
def test_a_number_may_be_written_in_another_way(source: str, answer: str) -> None:
    assert lost_numbers(source, answer) == []


@pytest.mark.parametrize(
    ("source", "answer", "lost"),
    [
        ("999 and 1,000.5", "998 et 1.000,6", ["999", "1,000.5"]),
        ("13 files", "des fichiers", ["13"]),
        ("10.50", "105", []),  # lenient: the digits are there
        ("2024 2025", "2024", ["2025"]),
        ("500", "D'accord", ["500"]),
        ("42 of 42", "", ["42"]),
    ],
)
def test_a_lost_number_is_named_as_the_source_has_it(
    source: str, answer: str, lost: list[str]
) -> None:
    assert lost_numbers(source, answer) == lost


@given(st.text(max_size=200))
def test_a_text_loses_no_number_to_itself(text: str) -> None:
    assert lost_numbers(text, text) == []


@pytest.mark.parametrize("unit", ["1", "1.", "1 ", "12 ", "XI", "1 million "])
def test_numbers_are_compared_in_linear_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    began = time.perf_counter()
    lost_numbers(text, unit)
    assert time.perf_counter() - began < 2  # 0.03 to 0.2 s

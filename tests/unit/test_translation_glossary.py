"""Terms of a glossary are found in a text, and in its translation in any form."""

import time

import pytest

from jobs.kinds.translation.glossary import Glossary, Term, missing, read_glossary

MILL = Term("mill", "Mühle")
TIDE_MILL = Term("tide mill", "Gezeitenmühle")


def test_terms_are_found_as_whole_words_in_any_case_the_longest_first() -> None:
    glossary = Glossary([MILL, TIDE_MILL, Term("pond", "Teich")])
    assert glossary.terms_in("A Mill and another mill.") == [MILL]
    assert glossary.terms_in("The tide mill.") == [TIDE_MILL]
    assert glossary.terms_in("A tide\nmill, a mill.") == [TIDE_MILL, MILL]
    assert glossary.terms_in("millstone, windmill") == []
    assert glossary.terms_in("") == []


def test_terms_of_scripts_without_spaces_are_found_anywhere() -> None:
    glossary = Glossary([Term("水車", "water wheel"), Term("水", "water"), Term("Tide", "tide")])
    assert [term.source for term in glossary.terms_in("この水車は古い")] == ["水車"]
    assert [term.source for term in glossary.terms_in("水車と水")] == ["水車", "水"]
    assert [term.source for term in glossary.terms_in("Tideを使う")] == ["Tide"]


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("Mühle", "Die Mühlen mahlen."),
        ("Mühle", "Die Windmühle dreht sich."),
        ("Haus", "Alle Häuser."),
        ("moulin à vent", "les Moulins à vents"),
        ("мельница", "у мельницы"),
        ("水車", "この水車は古い"),
        ("IO", "das io-Modul"),
        ("Tidemill", "TIDEMILL läuft"),
        ("C++", "in C++ geschrieben"),
    ],
)
def test_a_term_is_there_inflected_or_not(target: str, answer: str) -> None:
    assert missing([Term("x", target)], answer) == []


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("Mühle", "Die Fabrik."),
        ("moulin à vent", "le moulin"),
        ("水車", "この水は"),
        ("Haus", "Hau ab"),
    ],
)
def test_a_term_that_is_not_there_is_missing(target: str, answer: str) -> None:
    assert missing([Term("x", target)], answer) == [Term("x", target)]


def test_many_terms_are_looked_up_in_one_reading() -> None:
    raw = "{" + ",".join(f'"word{n} two":"wort{n}"' for n in range(5_000)) + "}"
    glossary = read_glossary(raw.encode())
    text = "and word17 two went on " * 20_000
    began = time.perf_counter()
    assert [term.target for term in glossary.terms_in(text)] == ["wort17"]
    assert time.perf_counter() - began < 2  # 0.1 s


def test_a_glossary_is_read_once() -> None:
    assert read_glossary(b'{"a":"b"}') is read_glossary(b'{"a":"b"}')

"""The language of a text is told, or nothing is said where it doesn't tell."""

import time

import pytest

from jobs.kinds.translation.languages import (
    base_of,
    detect,
    foreign,
    letter_count,
    name_of,
    same_language,
)

ARTICLES = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren.",
    "sv": "Alla människor är födda fria och lika i värde och rättigheter.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "cs": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "uk": "Всі люди народжуються вільними і рівними у своїй гідності та правах.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "zh": "人人生而自由，在尊严和权利上一律平等。",
    "ja": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "ar": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "vi": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
}
"""The first article of the Universal Declaration of Human Rights."""


@pytest.mark.parametrize("language", ARTICLES)
def test_an_article_is_told_from_those_in_all_other_languages(language: str) -> None:
    assert detect(ARTICLES[language]) == language
    for target in ARTICLES:
        assert foreign(ARTICLES[language], target) == (None if target == language else language)


IN_DOUBT = "Nadie podrá ser arbitrariamente detenido, preso ni desterrado. Todos los seres humanos"
"""With a mark of a program behind it, Spanish for 47 of a hundred and Portuguese for 38."""


def test_a_text_in_one_of_two_languages_that_are_alike_is_surely_in_no_other() -> None:
    text = f"{IN_DOUBT} [job:job-0000012]"
    assert detect(text) is None
    for target in ("de", "it", "fr", "pl"):
        assert foreign(text, target) == "es"
    for target in ("es", "pt"):
        assert foreign(text, target) is None


def test_a_text_in_the_sources_language_is_sooner_taken_for_it() -> None:
    text = "No one shall be subjected to arbitrary arrest, detention or exile."
    assert foreign(text, "it") is None  # 6 of a hundred
    assert foreign(text, "it", "es") is None
    assert foreign(text, "it", "en") == "en"
    assert foreign(text, "en", "en") is None


@pytest.mark.parametrize(
    "text", ["", "Yes.", "Oui, merci.", "12345 " * 50, "水" * 13, "?!… " * 100, "\0\ud800" * 30]
)
def test_nothing_is_said_of_a_text_that_does_not_tell(text: str) -> None:
    assert detect(text) is None
    assert foreign(text, "fr") is None


def test_a_latin_name_in_a_chinese_sentence_makes_it_no_other_language() -> None:
    assert foreign("几何形状转换SRID字段将发生错误", "zh") is None
    assert foreign("几何形状转换SRID字段将发生错误，请重新检查", "de") == "zh"


def test_a_languages_region_and_script_make_no_other_language() -> None:
    assert foreign(ARTICLES["pt"], "pt-BR") is None
    assert foreign(ARTICLES["zh"], "zh-Hant-TW") is None
    assert foreign(ARTICLES["en"], "pt_BR") == "en"


def test_nothing_is_said_of_languages_that_the_model_was_not_taught() -> None:
    assert foreign(ARTICLES["en"], "zu") is None


def test_languages_that_no_text_tells_apart_are_the_same() -> None:
    assert same_language("nb", "no")
    assert same_language("zh-Hans", "zh_TW")
    assert not same_language("es", "pt")


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("fr", "French"),
        ("pt-BR", "Portuguese (Brazil)"),
        ("zh-Hant", "Chinese (Traditional)"),
        ("zh_Hant_TW", "Chinese (Traditional, Taiwan)"),
        ("es-419", "Spanish (Latin America)"),
        ("FR", "French"),
        ("xx", None),
        ("french", None),
        ("fr-XX", None),
        ("", None),
        ("fr\n", None),
        ("fr-" + "a" * 50, None),
    ],
)
def test_a_language_has_a_name(tag: str, name: str | None) -> None:
    assert name_of(tag) == name
    assert base_of("pt-BR") == base_of("PT_br") == "pt"


def test_a_sign_that_is_a_word_counts_as_three_letters() -> None:
    assert letter_count("abc 12, é") == 4
    assert letter_count("水の上") == 9


@pytest.mark.parametrize("unit", ["a", "word ", "水", "\n", "É", "e\u0301"])
def test_a_long_text_is_read_as_far_as_it_tells(unit: str) -> None:
    text = unit * (4_000_000 // len(unit))
    detect("word " * 20)
    began = time.perf_counter()
    foreign(text, "fr")
    assert time.perf_counter() - began < 0.5  # 1 ms

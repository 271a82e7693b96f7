"""Estimates of tokens beside the true counts of a vocabulary, over many languages."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.app import create_app
from api.services import Services
from jobs.configuration import Configuration
from jobs.errors import ConfigurationError
from jobs.exchange import Message, ModelRequest
from jobs.settings import Settings, TokenCounting
from jobs.tokens import (
    TOKENS_PER_MESSAGE,
    CountTokens,
    estimate_request,
    estimate_tokens,
    token_counter,
)

# The counts are those of OpenAI's vocabulary o200k, made with bpe-openai 0.1.4.
COUNTED = {
    "english": (
        77,
        "The mill stood where the creek met the bay, and twice a day the water came up through the "
        "sluice and was kept. When the tide had gone out far enough, the miller opened the gate, and "
        "the wheel turned until the pond was empty. Nobody in the village owned a clock; they asked "
        "the miller what hour it was, and he looked at the mud.",
    ),
    "german": (
        68,
        "Die Mühle stand dort, wo der Bach in die Bucht mündet, und zweimal am Tag stieg das Wasser "
        "durch die Schleuse und wurde zurückgehalten. Wenn die Ebbe weit genug fortgeschritten war, "
        "öffnete der Müller das Tor, und das Rad drehte sich, bis der Teich leer war.",
    ),
    "russian": (
        64,
        "Мельница стояла там, где ручей впадает в залив, и дважды в день вода поднималась через шлюз "
        "и оставалась в пруду. Когда отлив уходил достаточно далеко, мельник открывал ворота, и "
        "колесо вращалось, пока пруд не пустел.",
    ),
    "chinese": (
        74,
        "磨坊坐落在小溪流入海湾的地方,每天两次,潮水通过水闸涌上来,被留在池塘里。当潮水退得足够远时,"
        "磨坊主打开闸门,水轮转动,直到池塘空了为止。村里没有人有钟表。",
    ),
    "japanese": (
        68,
        "水車小屋は小川が湾に注ぐ場所に立っていて、一日に二度、潮が水門から上がってきて池に溜められた。"
        "潮が十分に引くと、粉屋は門を開け、池が空になるまで水車が回った。",
    ),
    "korean": (
        74,
        "방앗간은 개울이 만으로 흘러드는 곳에 서 있었고, 하루에 두 번 물이 수문을 통해 올라와 연못에 "
        "갇혔다. 썰물이 충분히 빠지면 방앗간 주인은 문을 열었고, 연못이 빌 때까지 바퀴가 돌았다.",
    ),
    "arabic": (
        64,
        "كانت الطاحونة تقف حيث يلتقي الجدول بالخليج، ومرتين في اليوم كان الماء يصعد عبر البوابة "
        "ويُحتجز في البركة. وعندما ينحسر المد بعيدا يفتح الطحان البوابة فتدور العجلة حتى تفرغ البركة.",
    ),
    "python": (
        72,
        "def read(self, line_number: int, raw: bytes) -> JobLine | LineFault:\n"
        '    """Return the job of a line, or what is wrong with it."""\n'
        "    job = self._read(raw)\n"
        "    if isinstance(job, JobLine):\n"
        "        return job\n"
        "    return LineFault(line_number, job.code, job.field, job.message)\n",
    ),
    "json": (
        85,
        '{"id": 4711, "name": "tide mill", "tags": ["water", "stone"], "built": "1170-04-01", '
        '"location": {"lat": 51.8291, "lon": 1.3167}, "open": true, '
        '"visitors": [1203, 998, 1544, 2871], "owner": null}',
    ),
    "figures": (
        59,
        "1170 4.25 88 19034 0.0071 552 31,4 2026-11-23 17:45:09 99812 3.14159 100000 7 12 1048576 "
        "65535 42",
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_an_estimate_is_within_a_quarter_of_the_true_count(name: str) -> None:
    counted, text = COUNTED[name]
    assert 0.85 * counted <= estimate_tokens(text) <= 1.25 * counted


def test_no_text_has_no_tokens_and_any_text_has_one() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens(" ") == 1
    assert estimate_tokens("a") == 1
    assert estimate_tokens("\ud800") == 1


@given(st.text(), st.text())
def test_a_text_is_estimated_as_its_parts_up_to_rounding(left: str, right: str) -> None:
    together = estimate_tokens(left + right)
    apart = estimate_tokens(left) + estimate_tokens(right)
    assert apart - 2 <= together <= apart


@pytest.mark.parametrize("piece", ["tide mill 1170\n", "\n", "水車", "🎉"])
def test_length_changes_nothing_about_the_weight_of_a_text(piece: str) -> None:
    """Long texts are summed block by block; nothing is lost or doubled at the seams."""
    assert estimate_tokens(piece * 32_000) == pytest.approx(estimate_tokens(piece * 32) * 1000)


def test_a_request_counts_its_texts_their_framing_and_its_schema() -> None:
    schema = {"type": "object", "properties": {"hour": {"type": "integer"}}}
    plain = ModelRequest((Message("user", "What hour is it?"),), max_tokens=10)
    full = ModelRequest(
        (Message("user", "What hour is it?"), Message("assistant", "Look at the mud.")),
        max_tokens=10,
        system="Be brief.",
        schema=schema,
    )
    question = estimate_tokens("What hour is it?")
    assert estimate_request(plain) == question + TOKENS_PER_MESSAGE
    assert estimate_request(full) == (
        question
        + estimate_tokens("Look at the mud.")
        + estimate_tokens("Be brief.")
        + estimate_tokens('{"type":"object","properties":{"hour":{"type":"integer"}}}')
        + 4 * TOKENS_PER_MESSAGE
    )


@pytest.fixture(scope="module")
def exact() -> CountTokens:
    return token_counter(TokenCounting.BPE)


@pytest.mark.parametrize("name", COUNTED)
def test_the_exact_count_is_the_vocabularys(name: str, exact: CountTokens) -> None:
    counted, text = COUNTED[name]
    assert exact(text) == counted


@pytest.mark.parametrize("text", ["\ud800", "half \udc00 a pair", "\0", "e\u0301"])
def test_odd_texts_are_counted_too(text: str, exact: CountTokens) -> None:
    assert exact(text) >= 1
    assert exact("") == 0


def test_what_looks_like_a_special_token_is_text(exact: CountTokens) -> None:
    assert exact("<|endoftext|>") > 1


@settings(max_examples=50)
@given(text=st.text())
def test_no_exact_count_exceeds_the_bytes(text: str, exact: CountTokens) -> None:
    assert bool(text) <= exact(text) <= len(text.encode())


def test_a_request_is_counted_in_the_way_that_was_chosen(exact: CountTokens) -> None:
    _, text = COUNTED["json"]
    schema = {"type": "object"}
    request = ModelRequest((Message("user", text),), max_tokens=10, system="Hi.", schema=schema)

    assert estimate_request(request, exact) == (
        85 + exact("Hi.") + exact('{"type":"object"}') + 3 * TOKENS_PER_MESSAGE
    )
    assert estimate_request(request) == estimate_request(request, estimate_tokens)


def test_the_heuristic_is_what_is_used_unless_asked() -> None:
    assert token_counter(Settings().token_counting) is estimate_tokens


def test_exact_counts_without_their_package_are_a_wrong_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "bpe_openai", None)

    with pytest.raises(ConfigurationError, match=r"TIDEMILL_TOKEN_COUNTING .* exact-tokens"):
        token_counter(TokenCounting.BPE)
    assert token_counter(TokenCounting.HEURISTIC) is estimate_tokens


def test_the_api_counts_as_its_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEMILL_TOKEN_COUNTING", "bpe")
    app = create_app(Settings(home=tmp_path), Configuration())
    services: Services = app.state.services
    services.feeding.shutdown()
    services.database.close()
    counted, text = COUNTED["python"]

    assert services.count_tokens(text) == counted

"""The kind `translation`: how a text becomes requests, and which answers are good."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.exchange import Answer, Finish, Message, ModelRequest
from jobs.kinds import KINDS
from jobs.kinds.kind import Bad, FieldFault, Good, Plan, Remedy, Verdict
from jobs.kinds.translation import Translation, TranslationLine

TRANSLATION = Translation()

ARTICLE = "All human beings are born free and equal in dignity and rights."
ARTICLE_IN_FRENCH = "Tous les êtres humains naissent libres et égaux en dignité et en droits."
ARTICLE_IN_GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren."

MILL = (
    "The mill by the river grinds 1,000.5 tons of corn for {name} every year: https://mill.example."
)
MILL_IN_FRENCH = (
    "Le moulin au bord de la rivière moud 1 000,5 tonnes de maïs pour {name} chaque année : <x1/>."
)


def line(text: str = ARTICLE, target: str | None = "fr", **fields: Any) -> TranslationLine:
    given = {"custom_id": "a3", "model": "m", "text": text, "target": target, **fields}
    return msgspec.json.decode(json.dumps(given), type=TranslationLine)


def judged(made: TranslationLine, text: str, finish: Finish = Finish.COMPLETE) -> Verdict:
    return TRANSLATION.plan(made).judge((), Answer(text=text, finish=finish, usage=None))


def request_of(made: TranslationLine) -> ModelRequest:
    (request,) = TRANSLATION.plan(made).requests
    return request


def echo(plan: Plan) -> Verdict:
    """Let a model answer every part with its text, and return what is joined of it."""
    kept: list[Any] = []
    while len(kept) < len(plan.requests):
        shown = plan.request(kept).messages[-1].content
        verdict = plan.judge(kept, Answer(text=shown, finish=Finish.COMPLETE, usage=None))
        assert isinstance(verdict, Good), verdict
        kept.append(msgspec.json.decode(msgspec.json.encode(verdict.output)))
    return plan.join(kept)


def test_the_kind_is_found_by_its_name() -> None:
    assert isinstance(KINDS["translation"], Translation)


def test_a_line_is_one_short_request() -> None:
    request = request_of(line(source="en", max_tokens=200, temperature=0.1, seed=7, tone="formal"))
    assert request == ModelRequest(
        messages=(Message("user", ARTICLE),),
        system="Translate the user's text from English into French. Answer with the translation only. "
        "Tone: formal.",
        max_tokens=200,
        temperature=0.1,
        seed=7,
    )


def test_the_model_is_told_what_the_text_needs_and_nothing_else() -> None:
    request = request_of(line(MILL, glossary={"mill": "moulin", "wind": "vent"}))
    assert request.system is not None
    assert "mill = moulin" in request.system
    assert "wind" not in request.system
    assert "<x1/>" in request.system
    assert "{name}" in request.system
    assert request.messages[0].content.endswith("every year: <x1/>.")


def test_with_examples_the_request_is_what_a_model_continues() -> None:
    (message,) = request_of(line(source="en", examples={"Hello.": "Bonjour."})).messages
    assert message.content == f"English: Hello.\nFrench: Bonjour.\n\nEnglish: {ARTICLE}\nFrench:"
    (message,) = request_of(line(examples={"Hello.": "Bonjour."}, stop="\n")).messages
    assert message.content.startswith("Text: Hello.")


def test_examples_and_what_came_before_are_shown_alike() -> None:
    made = line(LONG, source="en", part_tokens=20, examples={"Hello.": "Bonjour."})
    (message,) = TRANSLATION.plan(made).request(["Le premier."]).messages
    assert "French: Bonjour.\n\nEnglish: The first paragraph" in message.content
    assert "French: Le premier.\n\nEnglish: The second" in message.content


def test_what_a_model_goes_on_with_ends_its_answer() -> None:
    made = line(source="en", examples={"Hello.": "Bonjour."})
    assert request_of(made).goes_on == "\nEnglish:"
    assert request_of(line(source="en")).goes_on is None
    own = line("English: a language.\nEnglish: a people.", source="en", examples={"Hi.": "Salut."})
    assert request_of(own).goes_on is None


def test_a_model_that_was_shown_examples_is_told_no_faults() -> None:
    bad = judged(line(source="en", examples={"Hello.": "Bonjour."}), ARTICLE)
    assert isinstance(bad, Bad)
    assert (bad.code, bad.remedy) == ("wrong_language", Remedy.ASK)
    told = judged(line(source="en"), ARTICLE)
    assert isinstance(told, Bad)
    assert told.remedy is Remedy.TELL


def test_texts_that_the_model_made_up_are_cut_off() -> None:
    made = line(source="en", examples={"Hello.": "Bonjour."})
    more = f" {ARTICLE_IN_FRENCH}\n\nEnglish: Go.\nFrench: Va."
    assert judged(made, more) == Good(ARTICLE_IN_FRENCH)
    assert judged(made, more, Finish.TRUNCATED) == Good(ARTICLE_IN_FRENCH)
    bad = judged(made, f" {ARTICLE_IN_FRENCH}", Finish.TRUNCATED)
    assert isinstance(bad, Bad)
    assert bad.code == "truncated"


def test_the_translation_of_an_example_or_of_the_part_before_is_none_of_this_text() -> None:
    made = line(source="en", examples={"No one shall be held in slavery.": ARTICLE_IN_FRENCH})
    bad = judged(made, ARTICLE_IN_FRENCH)
    assert isinstance(bad, Bad)
    assert (bad.code, bad.remedy) == ("degenerate_output", Remedy.ASK)
    plan = TRANSLATION.plan(line(LONG, part_tokens=20))
    before = "Le premier paragraphe est ici. Il a deux phrases."
    repeated = plan.judge([before], Answer(before, Finish.COMPLETE, None))
    assert isinstance(repeated, Bad)
    assert "repeats" in repeated.message
    assert judged(line(examples={ARTICLE: ARTICLE_IN_FRENCH}), ARTICLE_IN_FRENCH) == Good(
        ARTICLE_IN_FRENCH
    )


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"target": None}, "missing_field", "target"),
    ({"target": "french"}, "invalid_value", "target"),
    ({"target": "qqq"}, "invalid_value", "target"),
    ({"target": "fr-QQ"}, "invalid_value", "target"),
    ({"source": "e"}, "invalid_value", "source"),
    ({"text": " \n"}, "invalid_value", "text"),
    ({"glossary": {"a": 1}}, "wrong_type", "glossary"),
    ({"glossary": ["a"]}, "wrong_type", "glossary"),
    ({"glossary": {"a": " "}}, "out_of_range", "glossary"),
    ({"glossary": {f"t{n}": "x" for n in range(5_001)}}, "out_of_range", "glossary"),
    ({"examples": {"a": 1}}, "wrong_type", "examples"),
    ({"format": "json", "text": "{"}, "invalid_json", "text"),
    ({"format": "json", "text": '{"a":1,"b":"https://x.org"}'}, "invalid_value", "text"),
    ({"format": "subtitles", "text": "Hello"}, "invalid_value", "text"),
]


@pytest.mark.parametrize(("fields", "code", "field"), FAULTS)
def test_a_fault_between_the_fields_is_named(fields: dict[str, Any], code: str, field: str) -> None:
    fault = TRANSLATION.check(line(**fields))
    assert isinstance(fault, FieldFault)
    assert (fault.code, fault.field) == (code, field)


@pytest.mark.parametrize(
    "target", ["fr", "pt-BR", "zh-Hant", "zh_Hant_TW", "sr-Latn", "yue", "es-419"]
)
def test_a_languages_tag_is_known(target: str) -> None:
    assert TRANSLATION.check(line(target=target)) is None


def test_a_field_may_say_null_for_none() -> None:
    assert TRANSLATION.check(line(glossary=None, examples=None, source=None, tone=None)) is None


def test_a_good_translation_is_the_output() -> None:
    assert judged(line(), ARTICLE_IN_FRENCH) == Good(ARTICLE_IN_FRENCH)
    good = judged(
        line(MILL, source="en", glossary={"Mill": "moulin", "corn": "maïs"}), MILL_IN_FRENCH
    )
    assert good == Good(MILL_IN_FRENCH.replace("<x1/>", "https://mill.example"))


BAD: list[tuple[dict[str, Any], str, str, str, Remedy]] = [
    ({}, ARTICLE, "wrong_language", "English, expected French", Remedy.TELL),
    ({}, ARTICLE_IN_GERMAN, "wrong_language", "German, expected French", Remedy.TELL),
    ({}, " ", "empty_output", "empty", Remedy.ASK),
    ({}, "Tous les êtres. " * 90, "degenerate_output", "loop", Remedy.ASK),
    ({}, ARTICLE_IN_FRENCH + " Et encore." * 30, "degenerate_output", "", Remedy.ASK),
    ({}, "Oui.", "degenerate_output", "3 letters", Remedy.ASK),
    ({}, f"{ARTICLE_IN_FRENCH}\nNote : traduit.", "lost_line", "2 lines with text", Remedy.TELL),
    (
        {"text": MILL},
        MILL_IN_FRENCH.replace("<x1/>", "là"),
        "lost_placeholder",
        "<x1/> for https://mill.example",
        Remedy.TELL,
    ),
    (
        {"text": MILL},
        MILL_IN_FRENCH.replace("{name}", "lui"),
        "lost_placeholder",
        "{name}",
        Remedy.TELL,
    ),
    (
        {"text": MILL},
        MILL_IN_FRENCH.replace("000,5", "400"),
        "lost_placeholder",
        "1,000.5",
        Remedy.TELL,
    ),
    (
        {"text": MILL, "glossary": {"river": "fleuve"}},
        MILL_IN_FRENCH,
        "glossary_term_missing",
        "`river` must become `fleuve`",
        Remedy.TELL,
    ),
]


@pytest.mark.parametrize(("fields", "text", "code", "message", "remedy"), BAD)
def test_a_bad_translation_is_found_out(
    fields: dict[str, Any], text: str, code: str, message: str, remedy: Remedy
) -> None:
    bad = judged(line(**fields), text)
    assert isinstance(bad, Bad), bad
    assert (bad.code, bad.remedy) == (code, remedy)
    assert message in bad.message


@pytest.mark.parametrize(
    ("finish", "code", "remedy"),
    [
        (Finish.TRUNCATED, "truncated", Remedy.RAISE),
        (Finish.REFUSED, "refused", Remedy.TURN),
        (Finish.MALFUNCTION, "model_malfunction", Remedy.ASK),
    ],
)
def test_a_part_of_an_answer_is_none(finish: Finish, code: str, remedy: Remedy) -> None:
    bad = judged(line(), ARTICLE_IN_FRENCH, finish)
    assert isinstance(bad, Bad)
    assert (bad.code, bad.remedy) == (code, remedy)


def test_every_fault_is_said_at_once() -> None:
    bad = judged(
        line(MILL, glossary={"corn": "blé"}), "Le moulin moud pour lui chaque année : voilà."
    )
    assert isinstance(bad, Bad)
    for lost in ("https://mill.example", "{name}", "1,000.5", "`corn` must become `blé`"):
        assert lost in bad.message


def test_what_is_around_a_translation_is_taken_off_and_said() -> None:
    answer = f'Here is the translation:\n\n"{MILL_IN_FRENCH.replace("{name}", "{nom}")}"'
    good = judged(line(MILL), answer)
    assert isinstance(good, Good)
    assert good.output == MILL_IN_FRENCH.replace("<x1/>", "https://mill.example")
    assert good.mended is not None
    assert "introduction" in good.mended
    assert "placeholder" in good.mended


@pytest.mark.parametrize(
    "text",
    [
        "Ada Lovelace, Alan Turing, Grace Hopper, Edsger Dijkstra, Donald Knuth",
        "1,000.5 2024-11-27",
    ],
)
def test_names_and_numbers_may_stay_as_they_are(text: str) -> None:
    assert judged(line(text, source="en"), text) == Good(text)


def test_a_short_source_text_that_comes_back_is_no_translation() -> None:
    bad = judged(
        line("The cat sat on the mat with the hat.", source="en"),
        "The cat sat on the mat with the hat.",
    )
    assert isinstance(bad, Bad)
    assert bad.code == "wrong_language"


LONG = (
    "The first paragraph is here. It has two sentences.\n\n\n  The second paragraph has more words than "
    "the first.\r\n\r\nSee https://x.org/a for the third.  \n"
)


def test_a_long_text_is_asked_for_in_parts_that_know_what_came_before() -> None:
    plan = TRANSLATION.plan(line(LONG, source="en", part_tokens=20))
    assert len(plan.requests) == 3
    second = plan.request(["Le premier paragraphe est ici. Il a deux phrases."])
    assert [message.content for message in second.messages] == [
        "The first paragraph is here. It has two sentences.",
        "Le premier paragraphe est ici. Il a deux phrases.",
        "The second paragraph has more words than the first.",
    ]
    assert second.system is not None
    assert "don't repeat it" in second.system


def test_parts_are_joined_by_what_is_between_them() -> None:
    assert echo(TRANSLATION.plan(line(LONG, target="en", part_tokens=20))) == Good(LONG)


def test_a_part_fits_half_of_what_may_be_answered_if_nothing_is_said() -> None:
    text = "This sentence has some seven words in it. " * 100
    assert len(TRANSLATION.plan(line(text, max_tokens=2_000)).requests) == 1
    assert len(TRANSLATION.plan(line(text, max_tokens=200)).requests) > 5


SUBTITLES = (
    "\ufeff1\r\n00:00:01,000 --> 00:00:04,000 X1:5\r\n<i>Hello there.</i>\r\n- How are you?\r\n\r\n"
    "2\r\n00:00:05,000 --> 00:00:06,000\r\n  Fine.\r\n\r\n3\r\n00:00:07,000 --> 00:00:08,000\r\n\r\n"
)


def test_of_subtitles_only_the_texts_are_sent_and_all_else_stays() -> None:
    plan = TRANSLATION.plan(line(SUBTITLES, format="subtitles"))
    (request,) = plan.requests
    assert request.messages[0].content == "<i>Hello there.</i>\n- How are you?\n\nFine."
    verdict = plan.judge((), Answer("<i>Salut.</i>\n- Ça va ?\n\nBien.", Finish.COMPLETE, None))
    assert isinstance(verdict, Good)
    joined = plan.join([verdict.output])
    assert joined == Good(
        SUBTITLES.replace("Hello there.", "Salut.")
        .replace("How are you?", "Ça va ?")
        .replace("Fine.", "Bien.")
    )


def test_a_lost_line_of_subtitles_is_found_out() -> None:
    bad = judged(line(SUBTITLES, format="subtitles"), "<i>Salut.</i> Ça va ?\n\nBien.")
    assert isinstance(bad, Bad)
    assert bad.code == "lost_line"


def test_web_subtitles_keep_their_notes() -> None:
    text = "WEBVTT\n\nNOTE no\n\nintro\n00:01.000 --> 00:04.000\nHello.\n\n00:05.000 --> 00:06.000\nBye.\n"
    plan = TRANSLATION.plan(line(text, format="subtitles", target="en"))
    assert plan.requests[0].messages[0].content == "Hello.\n\nBye."
    assert echo(plan) == Good(text)


STRINGS = {
    "title": "The mill",
    "menu": [{"label": "Hello {name}", "url": "https://x.org"}, "The mill", 7, None, True, 1.5],
    "empty": "",
}


def test_of_json_the_texts_are_translated_each_once() -> None:
    plan = TRANSLATION.plan(line(json.dumps(STRINGS), format="json"))
    (request,) = plan.requests
    assert json.loads(request.messages[0].content) == {"1": "The mill", "2": "Hello {name}"}
    assert request.schema is not None
    assert request.schema["required"] == ["1", "2"]
    answer = '```json\n{"1": "Le moulin", "2": "Bonjour {name}"}\n```'
    good = plan.judge((), Answer(answer, Finish.COMPLETE, None))
    assert isinstance(good, Good)
    assert plan.join([good.output]) == Good(
        {
            "title": "Le moulin",
            "menu": [
                {"label": "Bonjour {name}", "url": "https://x.org"},
                "Le moulin",
                7,
                None,
                True,
                1.5,
            ],
            "empty": "",
        }
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"1": "Le moulin"}', "schema_violation"),
        ("Le moulin", "invalid_json"),
        ('{"1": "Le moulin", "2": "Bonjour"}', "lost_placeholder"),
        ('{"1": "Le\\nmoulin", "2": "Bonjour {name}"}', "lost_line"),
    ],
)
def test_a_bad_answer_for_json_is_found_out(text: str, code: str) -> None:
    bad = judged(line(json.dumps(STRINGS), format="json"), text)
    assert isinstance(bad, Bad)
    assert bad.code == code


def test_much_json_is_asked_for_in_parts() -> None:
    value = {f"k{n}": f"Sentence {n} is here. " * (1 if n % 40 else 30) + "\n" for n in range(120)}
    plan = TRANSLATION.plan(line(json.dumps(value), format="json", target="en", part_tokens=100))
    assert len(plan.requests) > 10
    assert echo(plan) == Good(value)


MARKDOWN = """# The mill

A *mill* grinds `corn --fine` by the [river](https://x.org/a_(b) "title").

- one
- two

```py
x = 1  # no comment
```

| a | b |
|---|---|
| 1 | 2 |
"""


def test_markdown_keeps_its_blocks_and_its_code_is_never_sent() -> None:
    plan = TRANSLATION.plan(line(MARKDOWN, format="markdown", target="en"))
    assert "x = 1" not in plan.requests[0].messages[0].content
    assert "x.org" not in plan.requests[0].messages[0].content
    assert echo(plan) == Good(MARKDOWN)
    bad = judged(
        line(MARKDOWN, format="markdown", target="en"),
        plan.requests[0].messages[0].content.replace("# The mill", "The mill"),
    )
    assert isinstance(bad, Bad)
    assert bad.code == "lost_line"
    assert "a heading of level 1" in bad.message


HTML = (
    '<h1>The mill</h1>\n<p>A <b>mill</b> <a href="https://x.org">grinds</a>.<br>Yes.</p>'
    "<!-- no --><script>var x = '<p>';</script><pre>  as it is\n</pre>"
)


def test_html_keeps_its_elements_and_its_code_is_never_sent() -> None:
    plan = TRANSLATION.plan(line(HTML, format="html", target="en"))
    shown = plan.requests[0].messages[0].content
    assert shown.startswith(
        '<h1>The mill</h1>\n<p>A <b>mill</b> <a id="1">grinds</a>.<br>Yes.</p><x2/>'
    )
    assert echo(plan) == Good(HTML)


@pytest.mark.parametrize(
    ("was", "now", "code"),
    [
        ("<b>mill</b>", "mill", "lost_placeholder"),
        ("<h1>The mill</h1>\n<p>", "<p>The mill</p>\n<h1>", "lost_line"),
        ("<b>mill</b>", "</b>mill<b>", "lost_line"),
        ('<a id="1">', "<a>", "lost_placeholder"),
    ],
)
def test_a_change_of_tags_is_found_out(was: str, now: str, code: str) -> None:
    made = line(HTML, format="html", target="en")
    shown = request_of(made).messages[0].content
    bad = judged(made, shown.replace(was, now))
    assert isinstance(bad, Bad)
    assert bad.code in {code, "lost_placeholder"}


PIECES = st.sampled_from(
    [
        "# ",
        "- ",
        "word ",
        "Dr. Smith came. ",
        "\n",
        "\n\n",
        "\r\n",
        "{name}",
        "<b>",
        "</b>",
        "```\n",
        "`x`",
    ]
)
TEXTS = st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=100).map("".join)).filter(
    str.strip
)
UNTOLD = "ha"
"""Hausa, which the detector doesn't know and which two scripts are used for: any answer may be in it."""


@given(TEXTS, st.sampled_from(["plain", "markdown", "html"]), st.integers(16, 60))
@example('"Quoted"', "plain", 16)
@example("Here is the translation:\nOne.", "plain", 16)
@example("a\r\nb\nc", "markdown", 16)
@example("ha " * 400, "plain", 16)
@example("1 2 3 " * 100, "plain", 16)
def test_a_text_whose_parts_come_back_as_they_are_is_joined_to_itself(
    text: str, form: str, part_tokens: int
) -> None:
    made = line(text, UNTOLD, format=form, part_tokens=part_tokens)
    assert echo(TRANSLATION.plan(made)) == Good(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(JSON, st.integers(16, 60))
def test_a_json_value_whose_texts_come_back_as_they_are_is_itself(
    value: Any, part_tokens: int
) -> None:
    made = line(json.dumps(value), UNTOLD, format="json", part_tokens=part_tokens)
    if TRANSLATION.check(made) is None:
        assert echo(TRANSLATION.plan(made)) == Good(value)

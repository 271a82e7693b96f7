"""What no translation may change is hidden from the model, and comes back."""

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.translation.placeholders import placeholders, renamed
from jobs.kinds.translation.protection import Protected, protect, restore, words_of

FORMS = st.sampled_from(["plain", "markdown", "html", "json", "subtitles"])
TAGS = ["<a href='x'>", "</a>", "<x1/>", '<a id="1">', "<x 2 />", "&lt;x1/&gt;", "<pre>", "</pre>"]
OTHERS = [
    "```\n",
    "{name}",
    "https://x.org/(a)",
    "a@b.org",
    "<!--",
    "-->",
    "{%",
    "%}",
    "%s",
    "word ",
]
SIGNS = ["<", ">", "`", "``", "{", "}", "\n", "İ"]
PIECES = st.sampled_from([*TAGS, *OTHERS, *SIGNS])
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join))


@given(TEXTS, FORMS)
def test_what_was_hidden_comes_back_byte_for_byte(text: str, form: str) -> None:
    protected = protect(text, form)
    assert protected.original(protected.text) == text


@given(TEXTS, FORMS)
def test_an_answer_that_kept_everything_has_lost_nothing(text: str, form: str) -> None:
    protected = protect(text, form)
    restored = restore(protected.text, protected.text, protected)
    assert (restored.lost, restored.invented, restored.mended) == ([], [], None)
    assert restored.text == text


HIDDEN = ["`code`", "https://x.org/a", "a@b.org", '<a href="x">']
VISIBLE = ["{name}", "%(count)d", "%s", "{{ user }}", "<b>", "</b>", "${x}"]
BETWEEN = " – "
SENTENCES = st.lists(st.sampled_from([*HIDDEN, *VISIBLE, "word", "Zwei."]), max_size=30)


@given(SENTENCES.map(BETWEEN.join), FORMS, st.data())
def test_whatever_a_model_leaves_out_is_missed(text: str, form: str, data: st.DataObject) -> None:
    """And whatever it puts elsewhere is put back there."""
    protected = protect(text, form)
    moved = data.draw(st.permutations(protected.text.split(BETWEEN)))
    restored = restore(BETWEEN.join(moved), protected.text, protected)
    assert (restored.lost, restored.invented) == ([], [])
    assert sorted(restored.text.split(BETWEEN)) == sorted(text.split(BETWEEN))
    marks = [n for n, word in enumerate(moved) if word not in {"word", "Zwei.", ""}]
    if marks:
        left_out = data.draw(st.sampled_from(marks))
        rest = [word for n, word in enumerate(moved) if n != left_out]
        assert restore(BETWEEN.join(rest), protected.text, protected).lost


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("See https://en.wikipedia.org/wiki/Mill_(grinding).", "See <x1/>."),
        ("(http://a.b/c), www.d.ef!", "(<x1/>), <x2/>!"),
        ("a scheme such as “https://”", "a scheme such as “https://”"),
        ("“https://x.org”", "“<x1/>”"),
        ("Mail bob.x+y@example.co.uk.", "Mail <x1/>."),
        ("Run `a --b` or ``c`d``.", "Run <x1/> or <x2/>."),
        ('<a href="x">y</a>', '<a id="1">y</a>'),
        ('<img src="x"/> <br/>', '<img id="1"> <br/>'),
        ("{\\an8}Hi {% if x %}", "<x1/>Hi <x2/>"),
        ("Write <x1/> for it.", "Write <x1/> for it."),
        ("a < b and c > d", "a < b and c > d"),
        ("Hello {name}, %s", "Hello {name}, %s"),
    ],
)
def test_addresses_code_and_attributes_are_hidden_and_placeholders_stay(
    text: str, shown: str
) -> None:
    assert protect(text, "plain").text == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![a wheel](img/wheel.png)", "![a wheel](<x1/>)"),
        ("[the kinds](../kinds.md#same 'Title')", "[the kinds](<x1/> 'Title')"),
        ("[mill](https://a.b/c_(d)) (and more)", "[mill](<x1/>) (and more)"),
        ("[a](#b), [c]({d}), [e]( ), (f](g", "[a](<x1/>), [c](<x2/>), [e]( ), (f](g"),
    ],
)
def test_where_links_lead_is_hidden_in_markdown(text: str, shown: str) -> None:
    protected = protect(text, "markdown")
    assert protected.text == shown
    assert restore(shown, shown, protected).text == text


def test_blocks_of_code_are_hidden_by_their_format() -> None:
    markdown = "# A\n\n```py\nx = `1`\n```\nb\n~~~~\nopen\n```\n"
    assert protect(markdown, "markdown").text == "# A\n\n<x1/>\nb\n<x2/>"
    html = "<p>a<!-- <b> --><SCRIPT>x<y</SCRIPT><pre>\n z</pre><code>open"
    assert protect(html, "html").text == "<p>a<x1/><x2/><x3/><code>open"
    assert protect("<pre>a</pre>", "plain").text == "<pre>a</pre>"


@pytest.mark.parametrize(
    "token", ["<x1/>", "<x1>", "< x1 />", "<X1/>", "<x 1/>", "&lt;x1/&gt;", "＜x1/＞"]
)
def test_a_token_may_be_written_as_models_write_it(token: str) -> None:
    protected = protect("See https://x.org now", "plain")
    restored = restore(f"Voir {token} donc", protected.text, protected)
    assert (restored.text, restored.lost) == ("Voir https://x.org donc", [])


def test_what_is_lost_and_what_is_invented_is_named() -> None:
    protected = protect("See https://x.org, {a} and <b>%s</b>", "plain")
    restored = restore("Voir <x2/>, {b} et %d", protected.text, protected)
    assert restored.lost == ["<x1/> for https://x.org", "{a}", "<b>", "%s", "</b>"]
    assert restored.invented == ["<x2/>", "{b}", "%d"]


def test_a_token_that_stands_twice_is_invented() -> None:
    protected = protect("See https://x.org", "plain")
    assert restore("<x1/> <x1/>", protected.text, protected).invented == ["<x1/>"]


@pytest.mark.parametrize(
    ("text", "lost", "invented", "mended"),
    [
        ("Salut {nom}", ["{name}"], ["{nom}"], "Salut {name}"),
        ("Salut %(nom)s", ["%(name)s"], ["%(nom)s"], "Salut %(name)s"),
        ("Salut {{ nom }}", ["{{name}}"], ["{{nom}}"], None),  # how it was spaced isn't known
        ("Salut {nom} {nom}", ["{name}"], ["{nom}"], None),
        ("Salut %(nom)d", ["%(name)s"], ["%(nom)d"], None),
        ("Salut {0}", ["{name}"], ["{0}"], None),
        ("Salut <i>", ["<b>"], ["<i>"], None),
        ("{a} {b}", ["{c}", "{d}"], ["{a}", "{b}"], None),
    ],
)
def test_one_translated_placeholder_is_put_right(
    text: str, lost: list[str], invented: list[str], mended: str | None
) -> None:
    assert renamed(text, lost, invented) == mended


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "{name} {0} {{ x }} {user.name} {items[0]}",
            ["{name}", "{0}", "{{x}}", "{user.name}", "{items[0]}"],
        ),
        (
            "%s %d %1$s %(n)d %.2f %% %@ %ld",
            ["%s", "%d", "%1$s", "%(n)d", "%.2f", "%%", "%@", "%ld"],
        ),
        ("${HOME} $user %USER%", ["${HOME}", "$user", "%USER%"]),
        ("<b>a</b><br/>", ["<b>", "</b>", "<br/>"]),
        ("100% sure, 5% of US$5, a < b", []),
        ("az 50%-e, 100%ig", []),
        ("{a b} {\n}", []),
        (
            "{count, plural, =0 {none} one {# file in {folder}} other {# files}} {count}",
            ["{count, plural}", "{folder}", "{count}"],
        ),
        ("{g, select, admin {Chief} other {You}} <b>", ["{g, select}", "<b>"]),
    ],
)
def test_placeholders_of_every_form_are_found_and_nothing_else(text: str, found: list[str]) -> None:
    assert placeholders(text) == Counter(found)


def test_a_plural_may_have_other_branches_in_another_language() -> None:
    english = "{n, plural, one {# file} other {# files}}"
    russian = "{n, plural, one {# файл} few {# файла} many {# файлов} other {# файла}}"
    protected = Protected(english, {})
    assert restore(russian, english, protected)[1:3] == ([], [])


def test_words_are_what_is_neither_token_nor_tag_nor_placeholder() -> None:
    assert words_of('<b>one</b> <x1/><a id="2">two {name}').split() == ["one", "two"]


HOSTILE = [
    "a",
    "<",
    "<a ",
    "`",
    "a@",
    "a@b.",
    "www.",
    "http://",
    "{%",
    "<script>",
    "<!--",
    "```\n",
    "<x1/>",
]


@pytest.mark.parametrize(
    "unit", [*HOSTILE, "{", "%(", "${", "{a, plural, ", "a.<a id=", "{{", "<pre></pre>"]
)
@pytest.mark.parametrize("form", ["markdown", "html"])
def test_hiding_takes_time_in_proportion_to_the_text(unit: str, form: str) -> None:
    text = unit * (100_000 // len(unit))
    began = time.perf_counter()
    protected = protect(text, form)
    restore(protected.text, protected.text, protected)
    assert time.perf_counter() - began < 2  # 0.01 to 0.2 s

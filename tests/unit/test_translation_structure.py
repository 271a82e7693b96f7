"""Lines, blocks and elements of a translation are those of its source."""

import pytest

from jobs.kinds.translation.structure import shaped
from jobs.kinds.translation.subtitles import cue_texts, has_cues, with_cue_texts


def test_lines_that_are_as_many_get_the_blanks_of_the_source() -> None:
    shape = shaped("  one\n\n- two\r\nthree \n", "un\n\n\n- deux\n\ntrois", "plain")
    assert shape.fault is None
    assert shape.text == "  un\n\n- deux\r\ntrois \n"
    assert shape.mended == "blank lines as in the source"
    assert shaped("one\ntwo", "un\r\ndeux", "plain") == ("un\ndeux", None, None)


@pytest.mark.parametrize("answer", ["un deux", "un\ndeux\ntrois", ""])
def test_a_lost_or_invented_line_is_a_fault(answer: str) -> None:
    shape = shaped("one\ntwo", answer, "plain")
    assert shape.fault is not None
    assert "the source 2" in shape.fault


MARKDOWN = "# A\n\ntext goes\non\n\n- b\n  more\n- c\n\n1. d\n\n> e\n> f\n\n| g |\n|---|\n\n---\n"


@pytest.mark.parametrize(
    ("was", "now", "expected", "given"),
    [
        ("# A", "## A", "a heading of level 1", "a heading of level 2"),
        ("- c", "c", "a list item", "a numbered item"),
        ("1. d", "- d", "a numbered item", "a list item"),
        ("> e\n> f", "e", "a quotation", "a paragraph"),
        ("| g |\n", "", "a table row", "a rule"),
        ("---\n", "", "a rule", "nothing"),
        ("\n\n- b", " b", "a list item", "a list item"),
    ],
)
def test_a_changed_block_of_markdown_is_named(
    was: str, now: str, expected: str, given: str
) -> None:
    shape = shaped(MARKDOWN, MARKDOWN.replace(was, now, 1), "markdown")
    if was.startswith("\n\n"):
        assert shape.fault is not None
        return
    assert shape.fault is not None
    assert f"{expected} in the source and {given}" in shape.fault or expected in shape.fault


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("text goes\non", "le texte"),
        ("\n\n", "\n\n\n"),
        ("  more", "  plus"),
        ("- b", "* b"),
        ("", ""),
    ],
)
def test_a_paragraph_of_markdown_may_be_wrapped_otherwise(was: str, now: str) -> None:
    assert shaped(MARKDOWN, MARKDOWN.replace(was, now), "markdown").fault is None


def test_line_ends_are_those_of_the_source() -> None:
    assert shaped("# A\r\n\r\nb", "# A\n\nb", "markdown").text == "# A\r\n\r\nb"
    assert shaped("<p>a\nb</p>", "<p>a\r\nb</p>", "html").text == "<p>a\nb</p>"


@pytest.mark.parametrize(
    ("source", "answer", "fault"),
    [
        ("<p>a <b>b</b> <i>c</i></p>", "<p><i>c</i> <b>b</b> a</p>", None),
        ("<p>a</p><ul><li>b</li></ul>", "<ul><li>b</li></ul><p>a</p>", "must be <p>"),
        ("<p>a</p>", "a", "must be <p>"),
        ("<p>a <b>b</b></p>", "<p>a </b>b<b></p>", "do not close"),
        ("<p>a<br>b <b>x", "<p>a<br>b <b>x", None),  # as badly as the source
        ('<p><a id="1">a</a></p>', '<p><a id="1">a</a></p>', None),
    ],
)
def test_elements_of_html_stay_in_their_order(source: str, answer: str, fault: str | None) -> None:
    shape = shaped(source, answer, "html")
    assert shape.fault is None if fault is None else fault in (shape.fault or "")


SRT = "1\n00:00:01,000 --> 00:00:04,000\nOne.\nTwo.\n\n2\n00:00:05,000 --> 00:00:06,000\nThree."


def test_of_subtitles_all_but_the_texts_stays_byte_for_byte() -> None:
    assert cue_texts(SRT) == "One.\nTwo.\n\nThree."
    assert with_cue_texts(SRT, cue_texts(SRT)) == SRT
    assert with_cue_texts(SRT, "Un.\nDeux.\n\nTrois.") == SRT.replace("One", "Un").replace(
        "Two", "Deux"
    ).replace("Three", "Trois")


@pytest.mark.parametrize(
    "text", ["", "Hello", "1\n\n2", "00:00:01,000 --> 00:00:02,000\n\nlate", "--> x\na"]
)
def test_a_text_without_cues_is_none_of_subtitles(text: str) -> None:
    assert not has_cues(text)

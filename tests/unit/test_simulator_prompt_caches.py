"""The simulated prompt caches: what is kept for whom, from when on, and for how long."""

import pytest

from scripts.simulator.calls import Call, Rejected, read_call
from scripts.simulator.dialects import anthropic
from scripts.simulator.prompt_caches import KEPT_S, Found, PromptCaches

SYSTEM = "Be brief, and answer in rhyme. " * 200
"""1,550 tokens."""


def marked(question: str = "Why?", system: str = SYSTEM) -> Call:
    call = read_call("m", (system, question), 10, None)
    call.marked = system
    return call


def seen(caches: PromptCaches, call: Call, at_s: float, **of: str) -> tuple[int, int]:
    """Return what a call reads and writes that is answered two seconds later."""
    found = caches.look(of.get("protocol", "anthropic"), of.get("account", "a"), call, at_s)
    caches.keep(found, at_s + 2)
    return found.cached_tokens, found.written_tokens


def test_what_is_marked_can_be_read_once_the_answer_has_begun() -> None:
    caches = PromptCaches()
    assert seen(caches, marked(), 0.0) == (0, 1550)
    assert seen(caches, marked("How?"), 1.9) == (0, 1550)
    assert seen(caches, marked("When?"), 2.0) == (1550, 0)


def test_every_use_keeps_it_anew_for_five_minutes() -> None:
    caches = PromptCaches()
    seen(caches, marked(), 0.0)
    assert seen(caches, marked(), 1 + KEPT_S) == (1550, 0)
    assert seen(caches, marked(), 2 + 2 * KEPT_S) == (1550, 0)
    assert seen(caches, marked(), 4 + 3 * KEPT_S) == (0, 1550)


@pytest.mark.parametrize("other", [{"account": "b"}, {"protocol": "mistral"}])
def test_nobody_elses_is_read(other: dict[str, str]) -> None:
    caches = PromptCaches()
    seen(caches, marked(), 0.0)
    assert seen(caches, marked(), 10.0, **other)[0] == 0


def test_another_text_schema_or_model_is_another_prompt() -> None:
    caches = PromptCaches()
    seen(caches, marked(), 0.0)
    other_schema, other_model = marked(), marked()
    other_schema.schema, other_model.model = {"type": "object"}, "n"
    for call in (marked(system=f"{SYSTEM}!"), other_schema, other_model):
        assert seen(caches, call, 10.0)[0] == 0


def test_what_is_short_or_not_marked_is_not_kept() -> None:
    caches = PromptCaches()
    unmarked = marked()
    unmarked.marked = ""
    for call in (marked(system="x" * 4 * 1023), unmarked):
        assert seen(caches, call, 0.0) == (0, 0)
        assert seen(caches, call, 10.0) == (0, 0)


def test_the_others_keep_by_themselves_what_prompts_begin_with() -> None:
    caches = PromptCaches()
    first, second = (
        read_call("m", (SYSTEM + question,), 10, None) for question in ("Why?", "How?")
    )
    assert seen(caches, first, 0.0, protocol="openai") == (0, 1536)
    assert seen(caches, second, 10.0, protocol="openai") == (1536, 0)
    assert seen(caches, first, 20.0, protocol="mistral") == (0, 0)  # it tells nobody of writes
    assert seen(caches, second, 30.0, protocol="mistral") == (1536, 0)
    assert seen(caches, first, 20.0, protocol="gemini") == (0, 0)  # from 2,048 tokens on
    assert (
        caches.look("openai", "a", read_call("m", (f"!{SYSTEM}",), 10, None), 30.0).cached_tokens
        == 0
    )


def test_a_mark_covers_everything_up_to_it() -> None:
    body = (
        b'{"model":"m","max_tokens":5,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user",'
        b'"content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text",'
        b'"text":"b"}]}]}'
    )
    call = anthropic.read(body, "", "2023-06-01")
    assert (call.marked, call.text) == ("s\na", "s\na\nb")


@pytest.mark.parametrize(
    "blocks",
    [
        b'{"type":"text","text":"","cache_control":{"type":"ephemeral"}}',
        b'{"type":"text","text":"a","cache_control":{"type":"forever"}}',
        b",".join([b'{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}'] * 5),
    ],
)
def test_a_mark_that_can_not_be_is_refused(blocks: bytes) -> None:
    body = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[%b]}]}' % blocks
    with pytest.raises(Rejected):
        anthropic.read(body, "", "2023-06-01")


def test_nothing_is_found_where_nothing_was_kept() -> None:
    assert PromptCaches().look("openai", "", read_call("m", ("short",), 1, None), 0.0) == Found(
        0, 0
    )

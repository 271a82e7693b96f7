"""What a job asks after each answer: the remedies of bad ones, and the parts of long ones."""

from collections.abc import Sequence
from typing import Any

import pytest

from jobs.defaults import JobDefaults
from jobs.exchange import Answer, Finish, Message, ModelRequest, Usage
from jobs.kinds.kind import Bad, Good, Plan, Remedy, Verdict
from jobs.routing import Target
from workers.job.dialogue import SEEDS_APART, SHOWN_CHARACTERS, Anew, Dialogue, Kept, Over, Policy

FIRST, SECOND, THIRD = (Target("p", name) for name in ("small", "middle", "large"))
POLICY = Policy.of(JobDefaults())


class Script(Plan):
    """Parts with the given names, whose answers are judged as the test says."""

    def __init__(
        self, *parts: str, verdicts: Sequence[Verdict] = (), temperature: float | None = None
    ) -> None:
        self._parts = parts or ("all",)
        self._verdicts = list(verdicts)
        self._temperature = temperature

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        return tuple(
            ModelRequest((Message("user", part),), 100, seed=7, temperature=self._temperature)
            for part in self._parts
        )

    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        return self._verdicts.pop(0) if self._verdicts else Good(answer.text)

    def join(self, kept: Sequence[Any]) -> Verdict:
        return Good("+".join(kept))


def answer(text: str = "a text") -> Answer:
    return Answer(text, Finish.COMPLETE, Usage(1, 0, 0, 1))


def bad(remedy: Remedy, code: str = "bad") -> Bad:
    return Bad(code, "it rhymes", remedy)


def dialogue(
    *verdicts: Verdict,
    parts: Sequence[str] = (),
    policy: Policy = POLICY,
    targets: tuple[Target, ...] = (FIRST,),
    **resumed: Any,
) -> Dialogue:
    plan = Script(*parts, verdicts=verdicts)
    return Dialogue(plan, policy, targets, estimated_tokens=42, **resumed)


def test_a_good_answer_is_the_result() -> None:
    talk = dialogue()
    assert talk.estimated_tokens == 42
    assert talk.hear(answer("High water."), FIRST) == Over(Good("High water."))


def test_a_model_is_told_what_is_wrong_with_its_answer() -> None:
    talk = dialogue(bad(Remedy.TELL))
    plain = talk.request
    assert talk.hear(answer("a rhyme" * SHOWN_CHARACTERS), FIRST) == Anew(bad(Remedy.TELL))
    shown, told = talk.request.messages[1:]
    assert talk.request.messages[0] == plain.messages[0]
    assert (shown.role, len(shown.content)) == ("assistant", SHOWN_CHARACTERS)
    assert told.role == "user"
    assert "it rhymes" in told.content
    assert talk.most_input_tokens > SHOWN_CHARACTERS
    assert talk.estimated_tokens > 42
    assert talk.hear(answer("prose"), FIRST) == Over(Good("prose"))


@pytest.mark.parametrize(("remedy", "text"), [(Remedy.ASK, "a rhyme"), (Remedy.TELL, " ")])
def test_the_same_is_asked_again_with_another_seed(remedy: Remedy, text: str) -> None:
    talk = dialogue(bad(remedy))
    plain = talk.request
    assert talk.hear(answer(text), FIRST) == Anew(bad(remedy))
    assert (talk.request.messages, talk.request.seed) == (plain.messages, 7 + SEEDS_APART)


def test_a_model_that_leaves_nothing_to_chance_is_told_what_was_wrong() -> None:
    plan = Script(verdicts=[bad(Remedy.ASK)], temperature=0.0)
    talk = Dialogue(plan, POLICY, (FIRST,), estimated_tokens=42)
    talk.hear(answer("a rhyme"), FIRST)
    assert [message.role for message in talk.request.messages] == ["user", "assistant", "user"]


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_model_is_asked_again_as_often_as_the_batch_allows(times: int) -> None:
    policy = Policy.of(JobDefaults(ask_again=times))
    talk = dialogue(*[bad(Remedy.TELL)] * (times + 1), policy=policy)
    for _ in range(times):
        assert talk.hear(answer(), FIRST) == Anew(bad(Remedy.TELL))
    assert talk.hear(answer(), FIRST) == Over(bad(Remedy.TELL))


@pytest.mark.parametrize(
    ("most", "limits"), [(None, [100, 200]), (450, [100, 200, 400, 450]), (100, [100]), (50, [100])]
)
def test_a_cut_off_answer_gets_more_room(most: int | None, limits: list[int]) -> None:
    policy = Policy.of(JobDefaults(raise_max_tokens=most))
    talk = dialogue(*[bad(Remedy.RAISE)] * len(limits), policy=policy)
    for limit in limits:
        assert talk.request.max_tokens == limit
        heard = talk.hear(answer(), FIRST)
        assert heard == (Over if limit == limits[-1] else Anew)(bad(Remedy.RAISE))


def test_the_room_that_was_needed_stays_when_the_answer_has_another_fault() -> None:
    talk = dialogue(bad(Remedy.RAISE), bad(Remedy.TELL))
    talk.hear(answer(), FIRST)
    talk.hear(answer(), FIRST)
    assert talk.request.max_tokens == 200


def test_the_next_targets_of_the_route_are_asked_afresh() -> None:
    targets = (FIRST, SECOND, THIRD)
    talk = dialogue(*[bad(Remedy.TELL)] * 6, targets=targets)
    plain, left = talk.request, []
    for target in (FIRST, FIRST, SECOND, SECOND, THIRD):
        assert isinstance(talk.hear(answer(), target), Anew)
        left.append((talk.targets, talk.request == plain))
    assert left == [
        (targets, False),
        ((SECOND, THIRD), True),
        ((SECOND, THIRD), False),
        ((THIRD,), True),
        ((THIRD,), False),
    ]
    assert talk.hear(answer(), THIRD) == Over(bad(Remedy.TELL))


def test_a_refusal_turns_to_the_next_target_at_once() -> None:
    talk = dialogue(bad(Remedy.TURN), bad(Remedy.TURN), targets=(FIRST, SECOND))
    assert isinstance(talk.hear(answer(), FIRST), Anew)
    assert talk.targets == (SECOND,)
    assert talk.hear(answer(), SECOND) == Over(bad(Remedy.TURN))


def test_the_target_that_answered_badly_is_left_out_and_not_the_first() -> None:
    talk = dialogue(bad(Remedy.TURN), targets=(FIRST, SECOND))
    talk.hear(answer(), SECOND)
    assert talk.targets == (FIRST,)


def test_no_other_target_is_asked_if_the_batch_does_not_want_it() -> None:
    policy = Policy.of(JobDefaults(escalate=False, ask_again=0))
    talk = dialogue(bad(Remedy.TELL), policy=policy, targets=(FIRST, SECOND))
    assert talk.hear(answer(), FIRST) == Over(bad(Remedy.TELL))


def test_what_was_put_right_is_taken_only_if_the_batch_wants_it() -> None:
    mended = Good("x", "a comma too many")
    assert dialogue(mended).hear(answer(), FIRST) == Over(mended)
    strict = Policy.of(JobDefaults(repair=False, ask_again=0))
    heard = dialogue(mended, policy=strict).hear(answer(), FIRST)
    assert isinstance(heard, Over)
    assert isinstance(heard.verdict, Bad)
    assert heard.verdict.code == "needs_repair"
    assert "a comma too many" in heard.verdict.message


def test_parts_are_asked_for_one_after_the_other_and_joined() -> None:
    talk = dialogue(parts=("one", "two", "three"))
    asked = []
    for no, text in enumerate(("un", "deux")):
        asked.append(talk.request.messages[0].content)
        assert talk.hear(answer(text), FIRST) == Kept(no, text)
    asked.append(talk.request.messages[0].content)
    assert asked == ["one", "two", "three"]
    assert talk.hear(answer("trois"), FIRST) == Over(Good("un+deux+trois"))


def test_each_part_has_all_remedies_for_itself() -> None:
    talk = dialogue(
        *(bad(Remedy.RAISE), bad(Remedy.TELL), bad(Remedy.TURN), Good("un"), bad(Remedy.TELL)),
        parts=("one", "two"),
        targets=(FIRST, SECOND),
    )
    for target in (FIRST, FIRST, FIRST):
        assert isinstance(talk.hear(answer(), target), Anew)
    assert isinstance(talk.hear(answer(), SECOND), Kept)
    assert talk.targets == (FIRST, SECOND)
    assert talk.request.max_tokens == 100
    assert isinstance(talk.hear(answer(), FIRST), Anew)


def test_a_later_lease_goes_on_at_the_part_that_is_next() -> None:
    talk = dialogue(parts=("one", "two"), kept=["un"])
    assert talk.request.messages[0].content == "two"
    assert talk.hear(answer("deux"), FIRST) == Over(Good("un+deux"))


@pytest.mark.parametrize(
    ("bad_answers", "targets"),
    [
        (0, (FIRST, SECOND)),
        (1, (FIRST, SECOND)),
        (2, (SECOND,)),
        (3, (SECOND,)),
        (9, (SECOND,)),
    ],
)
def test_a_later_lease_asks_whoever_is_next(bad_answers: int, targets: tuple[Target, ...]) -> None:
    talk = dialogue(*[bad(Remedy.TELL)] * 3, targets=(FIRST, SECOND), bad_answers=bad_answers)
    assert talk.targets == targets
    asked = 1
    while isinstance(talk.hear(answer(), talk.targets[0]), Anew):
        asked += 1
    assert asked == max(1, 4 - bad_answers)

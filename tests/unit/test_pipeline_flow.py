"""What a row of a run is ready for, given what is there of it."""

from jobs.pipelines.flow import Flow, Node
from jobs.pipelines.standing import StageCounts, jobs_to_come
from jobs.states import ItemState

DONE, SENT, FAILED, LEFT_OUT = (
    ItemState.DONE,
    ItemState.SENT,
    ItemState.FAILED,
    ItemState.LEFT_OUT,
)

FLOW = Flow.of(
    [
        Node("summary"),
        Node("translations", branch=("target", ("fr", "de"))),
        Node("tones", branch=("tone", ("formal", "plain"))),
        Node("facts", ("source",)),
        Node("page", ("tones", "facts"), joins=True),
    ]
)


def test_a_new_row_is_ready_for_what_comes_after_the_source() -> None:
    assert FLOW.ready({}) == [(0, ""), (3, "")]


def test_a_row_branches_for_each_value_as_soon_as_it_can() -> None:
    states = {(0, ""): DONE, (3, ""): SENT}
    assert FLOW.ready(states) == [(1, "fr"), (1, "de")]
    states |= {(1, "fr"): DONE, (1, "de"): SENT}
    assert FLOW.ready(states) == [(2, "fr/formal"), (2, "fr/plain")]


def test_a_join_waits_for_all_of_its_inputs() -> None:
    states = {(0, ""): DONE, (3, ""): DONE, (1, "fr"): DONE, (1, "de"): DONE}
    states |= {(2, branch): DONE for branch in FLOW.branches(2)}
    assert FLOW.ready(states) == [(4, "")]
    assert FLOW.ready({**states, (3, ""): SENT}) == []
    assert FLOW.ready({**states, (2, "fr/plain"): SENT}) == []
    assert FLOW.ready({**states, (4, ""): SENT}) == []


def test_what_was_left_out_is_missed_by_no_join_and_what_failed_is() -> None:
    states = {(0, ""): DONE, (3, ""): DONE, (1, "fr"): DONE, (1, "de"): LEFT_OUT}
    states |= {(2, "fr/formal"): DONE, (2, "fr/plain"): DONE}
    assert FLOW.ready(states) == [(4, "")]
    assert FLOW.ready({**states, (1, "de"): FAILED}) == []
    assert FLOW.ready({**states, (2, "fr/plain"): LEFT_OUT}) == [(4, "")]
    left_out = {(2, "fr/plain"): LEFT_OUT, (2, "fr/formal"): LEFT_OUT}
    assert FLOW.ready({**states, **left_out}) == []


def test_values_of_a_branch_have_names() -> None:
    assert FLOW.values(2, "fr/plain") == {"target": "fr", "tone": "plain"}
    assert FLOW.variables(2) == {"row", "key", "summary", "translations", "target", "tone"}


def test_jobs_to_come_are_those_of_rows_that_are_not_lost() -> None:
    none = StageCounts(0, 0)
    assert jobs_to_come(FLOW, 10, [none] * 5) == [10, 20, 40, 10, 10]
    half_way = [
        StageCounts(sent=2, again=0, done=3, failed=5),  # of ten rows five are lost
        StageCounts(sent=4, again=0, done=2),
        none,
        StageCounts(sent=0, again=1, done=9),
        none,
    ]
    assert jobs_to_come(FLOW, 10, half_way) == [2, 8, 20, 1, 5]

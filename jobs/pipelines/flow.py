"""Which stage comes after which, how rows branch and join, and what a row is ready for.

The question of a run is always the same one: of this row, what is there, and what can be begun that is
not? It is answered from the states of the row's items alone, so it doesn't matter which answer arrived
first, or how often it is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from jobs.pipelines.stages import SOURCE
from jobs.states import ItemState

BRANCHED = "/"
"""Between the values of a branch of a branch, and behind a key."""


class Unfit(ValueError):
    """The stages don't make a flow. `stage` is the number of the one that is wrong."""

    def __init__(self, stage: int, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Node:
    """A stage, as far as its place in the flow goes. `after` is None for the stage before."""

    name: str
    after: tuple[str, ...] | None = None
    joins: bool = False
    branch: tuple[str, tuple[str, ...]] | None = None


class Standing(Enum):
    """What is known of a place of a row: it has its output, may still get it, or never will."""

    DONE = "done"
    OPEN = "open"
    LEFT_OUT = "left out"
    """By a condition."""
    LOST = "lost"
    """By a failure."""


Place = tuple[int, str]
"""A stage's number and a branch: the values of its variables, `fr` or `fr/formal`; empty without any."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The stages' order. Of each by its number: the stages that it comes after, and its variables.

    Attributes:
        nodes: the stages.
        inputs: the numbers of the stages that each comes after; none for the source.
        paths: the variables of each one's branches with their values, the outermost first.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[tuple[int, ...], ...]
    paths: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> "Flow":
        """Return the flow of stages in the order of their file.

        Raises:
            Unfit: two have the same name, or one comes after none that is before it.
        """
        numbers: dict[str, int] = {}
        inputs: list[tuple[int, ...]] = []
        paths: list[tuple[tuple[str, tuple[str, ...]], ...]] = []
        for number, node in enumerate(nodes):
            before = _inputs(number, node, numbers)
            path = () if node.joins or not before else paths[before[0]]
            if node.branch is not None:
                taken = {name for name, _ in path} | {*numbers, node.name}
                if node.branch[0] in taken:
                    raise Unfit(number, f"`for_each`: `{node.branch[0]}` is taken already")
                path = (*path, node.branch)
            if node.name in numbers:
                raise Unfit(number, f"another stage is called `{node.name}`")
            numbers[node.name] = number
            inputs.append(before)
            paths.append(path)
        return cls(tuple(nodes), tuple(inputs), tuple(paths))

    def variables(self, number: int) -> frozenset[str]:
        """Return the names that a stage's templates may use."""
        branch = {name for name, _ in self.paths[number]}
        stages = {self.nodes[before].name for before in self.before(number)}
        return frozenset({"row", "key", *branch, *stages})

    def before(self, number: int) -> frozenset[int]:
        """Return all stages before one, the inputs of its inputs included."""
        direct = self.inputs[number]
        return frozenset(direct).union(*(self.before(before) for before in direct))

    def branches(self, number: int) -> tuple[str, ...]:
        """Return all branches of a stage; a single empty one where nothing branches."""
        branches = [""]
        for _name, values in self.paths[number]:
            branches = [_joined(branch, value) for branch in branches for value in values]
        return tuple(branches)

    def values(self, number: int, branch: str) -> Mapping[str, str]:
        """Return the values of a branch's variables by name."""
        names = [name for name, _ in self.paths[number]]
        return dict(zip(names, branch.split(BRANCHED), strict=True)) if names else {}

    def ready(self, states: Mapping[Place, ItemState]) -> list[Place]:
        """Return what can be begun of a row and is not there yet, given the states of what is there."""
        known: dict[Place, Standing] = {}
        return [
            (number, branch)
            for number in range(len(self.nodes))
            for branch in self.branches(number)
            if (number, branch) not in states
            and self._inputs_stand(states, known, number, branch) is Standing.DONE
        ]

    def sources(self, number: int, branch: str) -> Sequence[Place]:
        """Return the places whose outputs a place is made of directly; none for the source."""
        if self.nodes[number].joins:
            return [
                (before, each) for before in self.inputs[number] for each in self.branches(before)
            ]
        own = self.nodes[number].branch is not None
        above = BRANCHED.join(branch.split(BRANCHED)[:-1]) if own else branch
        return [(before, above) for before in self.inputs[number]]

    def _inputs_stand(
        self,
        states: Mapping[Place, ItemState],
        known: dict[Place, Standing],
        number: int,
        branch: str,
    ) -> Standing:
        """Return whether all that a place is made of is there."""
        standings = [Standing.DONE]
        for before in self.inputs[number]:
            of_input = [
                self._stands(states, known, *place)
                for place in self.sources(number, branch)
                if place[0] == before
            ]
            # A branch that was left out is missed by nobody, unless all were.
            chosen = [each for each in of_input if each is not Standing.LEFT_OUT]
            standings += chosen or [Standing.LEFT_OUT]
        for standing in (Standing.LOST, Standing.OPEN, Standing.LEFT_OUT):
            if standing in standings:
                return standing
        return Standing.DONE

    def _stands(
        self,
        states: Mapping[Place, ItemState],
        known: dict[Place, Standing],
        number: int,
        branch: str,
    ) -> Standing:
        place = (number, branch)
        if place not in known:
            match states.get(place):
                case ItemState.DONE:
                    known[place] = Standing.DONE
                case ItemState.SENT | ItemState.AGAIN:
                    known[place] = Standing.OPEN
                case ItemState.LEFT_OUT:
                    known[place] = Standing.LEFT_OUT
                case ItemState.FAILED:
                    known[place] = Standing.LOST
                case None:
                    before = self._inputs_stand(states, known, number, branch)
                    known[place] = Standing.OPEN if before is Standing.DONE else before
        return known[place]


def branched(key: str, branch: str) -> str:
    """Return the name of a row's branch."""
    return _joined(key, branch) if branch else key


def _joined(first: str, second: str) -> str:
    return f"{first}{BRANCHED}{second}" if first else second


def _inputs(number: int, node: Node, numbers: Mapping[str, int]) -> tuple[int, ...]:
    if node.after is None:
        return (number - 1,) if number else ()
    if node.after == (SOURCE,):
        return ()
    if len(set(node.after)) != len(node.after):
        raise Unfit(number, "`after` names a stage twice")
    for name in node.after:
        if name not in numbers:
            there = ", ".join([SOURCE, *numbers])
            raise Unfit(number, f"`after`: there is no stage `{name}` before it; there are {there}")
    return tuple(numbers[name] for name in node.after)

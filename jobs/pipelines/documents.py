"""What a stage's templates are filled in with: the row, and what the stages before have made of it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.pipelines.flow import BRANCHED, Flow, Place


@dataclass(frozen=True, slots=True)
class Document:
    """A row of a run: its name, its fields, and the outputs that are there, by their places."""

    key: str
    fields: Mapping[str, Any]
    outputs: Mapping[Place, Any] = field(default_factory=dict)

    def variables(self, flow: Flow, number: int, branch: str) -> dict[str, Any]:
        """Return the variables of a stage's branch by name.

        A stage before that has branched is one value within its branch, and after a join an object:
        its outputs by the values of its variable.
        """
        variables = {"row": self.fields, "key": self.key, **flow.values(number, branch)}
        own = _line_of(flow, number)
        for before in flow.before(number):
            name = flow.nodes[before].name
            if before in own:
                above = BRANCHED.join(branch.split(BRANCHED)[: len(flow.paths[before])])
                if (before, above) in self.outputs:
                    variables[name] = self.outputs[before, above]
            elif flow.paths[before]:
                variables[name] = self._collected(flow, before)
            elif (before, "") in self.outputs:
                variables[name] = self.outputs[before, ""]
        return variables

    def _collected(self, flow: Flow, number: int) -> dict[str, Any]:
        collected: dict[str, Any] = {}
        for branch in flow.branches(number):
            if (number, branch) not in self.outputs:
                continue
            inner = collected
            *above, last = branch.split(BRANCHED)
            for value in above:
                inner = inner.setdefault(value, {})
            inner[last] = self.outputs[number, branch]
        return collected


def needed(flow: Flow, number: int, branch: str, used: frozenset[str]) -> Iterator[Place]:
    """Yield the places whose outputs a stage's branch needs for the variables that it uses."""
    own = _line_of(flow, number)
    for before in flow.before(number):
        if flow.nodes[before].name not in used:
            continue
        if before in own:
            yield before, BRANCHED.join(branch.split(BRANCHED)[: len(flow.paths[before])])
        else:
            for each in flow.branches(before):
                yield before, each


def _line_of(flow: Flow, number: int) -> frozenset[int]:
    """Return the stages before one that it has in its own branch, back to the last join."""
    line: set[int] = set()
    at = number
    while not flow.nodes[at].joins and flow.inputs[at]:
        (at,) = flow.inputs[at]
        line.add(at)
    return frozenset(line)

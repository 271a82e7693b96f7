"""A job's dialogue with its models: what it asks now, and what each answer makes of that. Pure.

A good answer brings the job's output, or that of one of its parts. What follows a bad one is the
batch's policy: the answer is asked for again, with more room where it was cut off, then from the next
target of the route; else the job has failed for the reason that the last answer gave.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from jobs.defaults import JobDefaults
from jobs.exchange import Answer, Message, ModelRequest
from jobs.kinds.kind import Bad, Good, Plan, Remedy, Verdict
from jobs.routing import Target
from jobs.tokens import estimate_request, most_tokens
from workers.prompt_caching.prefix import prefix_of

SHOWN_CHARACTERS = 8_000
"""Of a bad answer that its model is shown: what is wrong with a longer one is told, too."""

SEEDS_APART = 1_000_003
"""From the seed of an answer that is asked for again: a job's samples have those next to each other."""

NOT_LIKE_THAT = (
    "That answer can't be used: {fault}\n\n"
    "Answer the request above once more, completely, without that fault and without a comment."
)


class Kept(msgspec.Struct, frozen=True):
    """The answer is the output of part `no`; the next part is asked for."""

    no: int
    output: Any


class Over(msgspec.Struct, frozen=True):
    """The job has its result."""

    verdict: Verdict


class Anew(msgspec.Struct, frozen=True):
    """The answer is bad, and something else is asked."""

    bad: Bad


Heard = Kept | Over | Anew


@dataclass(frozen=True, slots=True)
class Policy:
    """What a batch does about bad answers.

    `repair`: take what was put right here. `ask_again`: how often each target is asked again for the
    same part. `raise_max_tokens`: up to where a cut-off answer is given more room; None for twice
    what the line allows. `escalate`: whether the route's next target is asked after that.
    """

    repair: bool
    ask_again: int
    raise_max_tokens: int | None
    escalate: bool

    @classmethod
    def of(cls, defaults: JobDefaults) -> "Policy":
        """Return the policy that a batch was submitted with."""
        return cls(
            defaults.repair, defaults.ask_again, defaults.raise_max_tokens, defaults.escalate
        )


class Dialogue:
    """One job's. `request` and `targets` are what is asked now, and whom.

    `prefix` is how the request begins, if others that begin so may have it from a prompt cache.
    """

    def __init__(  # noqa: PLR0913 - each is a part of where a job stands
        self,
        plan: Plan,
        policy: Policy,
        targets: tuple[Target, ...],
        *,
        estimated_tokens: int,
        max_image_tokens: int | None = None,
        kept: Sequence[Any] = (),
        bad_answers: int = 0,
    ) -> None:
        """Begin, or go on where an earlier lease stopped.

        Args:
            plan: of the job's line.
            policy: of its batch.
            targets: that may serve it, in the order in which they are tried.
            estimated_tokens: of all its parts' input, as they were counted when it was accepted.
            max_image_tokens: what a picture is billed as at most, where that is configured.
            kept: the outputs of the parts that have theirs; fewer than the plan has requests.
            bad_answers: to the part that is next. What they were is not known any more, so it is
                asked for as if for the first time, by whom it would be.
        """
        self._plan = plan
        self._parts = len(plan.requests)
        self._policy = policy
        self._max_image_tokens = max_image_tokens
        self._kept = list(kept)
        self._all_targets = self.targets = targets
        self._asked_again = 0
        self._estimated_tokens: int | None = None
        self._put(plan.request(self._kept))
        if self._parts == 1:
            self._estimated_tokens = estimated_tokens
        for _ in range(bad_answers):
            if not self._may_ask_again() and not self._turn_from(self.targets[0]):
                break

    def hear(self, answer: Answer, answered_by: Target) -> Heard:
        """Say what an answer is worth, and turn to what is asked next."""
        verdict = self._checked(self._plan.judge(self._kept, answer))
        if isinstance(verdict, Good):
            if len(self._kept) + 1 < self._parts:
                return self._keep(verdict)
            return Over(self._joined(verdict))
        return Anew(verdict) if self._asks_on(verdict, answer, answered_by) else Over(verdict)

    def _checked(self, verdict: Verdict) -> Verdict:
        if isinstance(verdict, Good) and verdict.mended and not self._policy.repair:
            return Bad(
                "needs_repair", f"the answer is usable only after a repair: {verdict.mended}"
            )
        return verdict

    def _keep(self, good: Good) -> Kept:
        no = len(self._kept)
        self._kept.append(good.output)
        self.targets, self._asked_again = self._all_targets, 0
        self._put(self._plan.request(self._kept))
        return Kept(no, good.output)

    def _joined(self, last: Good) -> Verdict:
        joined = self._plan.join([*self._kept, last.output])
        if isinstance(joined, Good) and joined.mended is None:
            return Good(joined.output, last.mended)
        return joined

    def _asks_on(self, bad: Bad, answer: Answer, answered_by: Target) -> bool:
        """Turn to what is asked after a bad answer; False if nothing is."""
        plain = self._plan.request(self._kept)
        if bad.remedy is Remedy.RAISE and self._raise_limit(plain):
            return True
        if bad.remedy in {Remedy.TELL, Remedy.ASK} and self._may_ask_again():
            # Where nothing is left to chance, the same question has the same answer.
            is_told = bad.remedy is Remedy.TELL or plain.temperature == 0
            tells = is_told and answer.text.strip()
            self._put(self._told(plain, bad, answer) if tells else self._varied(plain))
            return True
        if self._turn_from(answered_by):
            self._put(self._with_limit(plain))
            return True
        return False

    def _may_ask_again(self) -> bool:
        if self._asked_again >= self._policy.ask_again:
            return False
        self._asked_again += 1
        return True

    def _turn_from(self, target: Target) -> bool:
        """Leave a target out from now on, if another may be asked."""
        others = tuple(other for other in self.targets if other != target)
        if not others or not self._policy.escalate:
            return False
        self.targets, self._asked_again = others, 0
        return True

    def _raise_limit(self, plain: ModelRequest) -> bool:
        most = self._policy.raise_max_tokens
        limit = min(2 * self.request.max_tokens, 2 * plain.max_tokens if most is None else most)
        if limit <= self.request.max_tokens:
            return False
        self._put(msgspec.structs.replace(plain, max_tokens=limit))
        return True

    def _told(self, plain: ModelRequest, bad: Bad, answer: Answer) -> ModelRequest:
        """Return the request with the bad answer, and what is wrong with it."""
        shown = answer.text[:SHOWN_CHARACTERS]
        turns = (
            Message("assistant", shown),
            Message("user", NOT_LIKE_THAT.format(fault=bad.message)),
        )
        return msgspec.structs.replace(self._with_limit(plain), messages=(*plain.messages, *turns))

    def _varied(self, plain: ModelRequest) -> ModelRequest:
        """Return the request with another seed, or the same answer would come again."""
        return self._with_limit(plain).reseeded(SEEDS_APART * self._asked_again)

    def _with_limit(self, plain: ModelRequest) -> ModelRequest:
        """Return the request with as much room as was found to be needed."""
        limit = max(plain.max_tokens, self.request.max_tokens)
        return msgspec.structs.replace(plain, max_tokens=limit)

    def _put(self, request: ModelRequest) -> None:
        self.request = request
        self.most_input_tokens = most_tokens(request, self._max_image_tokens)
        self.prefix = prefix_of(request, self._plan.head_characters)
        self._estimated_tokens = None

    @property
    def part(self) -> int:
        """The number of the part that is asked for, from 0."""
        return len(self._kept)

    @property
    def estimated_tokens(self) -> int:
        """The input of what is asked, as it is estimated before anybody has counted."""
        if self._estimated_tokens is None:
            self._estimated_tokens = estimate_request(self.request)
        return self._estimated_tokens

"""The section `[[stages]]`: what is asked for each row, and after what."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import ConfigDict, Field, model_validator

from jobs.defaults import JobDefaults
from jobs.errors import InvalidParameter
from jobs.kinds.generation import Stop
from jobs.kinds.templates import UnusableTemplate, check_template, variables_of
from jobs.pipelines.sections import Section, StageName

SOURCE = "source"
"""What a stage comes after that gets the source's rows."""

NOT_NAMES = frozenset({SOURCE, "row", "key", "output"})
"""What no stage can be called: templates and sections have another use for it."""

TEMPLATED = ("text", "system", "instructions", "source", "target")
"""Fields that are filled in for each row where there is a place in them; `template` is by its jobs."""

MOST_BRANCHES = 100


class Stage(Section):
    """A step of a run: a job for each row that reaches it.

    What is not named here is a setting of its jobs, as a batch's defaults are: `max_tokens`, `schema`,
    `glossary`, `ask_again` and so on (`jobs.defaults.JobDefaults`).
    """

    model_config = ConfigDict(extra="allow")

    name: StageName
    kind: Literal["generation", "translation", "extraction"]
    model: str | None = None
    after: StageName | Annotated[tuple[StageName, ...], Field(min_length=1)] | None = None
    """By default the stage before, of the first one the source."""
    join: bool = False
    """Wait for all branches of `after`, and go on with one row; several stages are always joined."""
    where: str | None = None
    """A condition, such as `{{ summary | length > 20 }}`: a row for which it is false ends here."""
    check: str | None = None
    """A condition on `output`: a row whose answer doesn't meet it fails here."""
    for_each: dict[StageName, tuple[str, ...]] | None = None
    """One variable with its values: a branch for each of them."""
    on_failure: Literal["drop", "fail"] = "drop"
    """What follows of a row that fails here: it alone ends, or the whole run does."""
    template: str | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.name in NOT_NAMES:
            raise ValueError(f"a stage can't be called `{self.name}`")
        wanted = "template" if self.kind == "generation" else "text"
        other = "text" if wanted == "template" else "template"
        if getattr(self, other) is not None:
            raise ValueError(f"`{other}` is not of a {self.kind}; expected `{wanted}`")
        if getattr(self, wanted) is None:
            raise ValueError(f'expected a `{wanted}`, such as "{{{{ row.text }}}}"')
        return self

    @model_validator(mode="after")
    def _branches(self) -> Self:
        if self.for_each is None:
            return self
        if len(self.for_each) != 1:
            raise ValueError("`for_each`: expected one variable")
        ((name, values),) = self.for_each.items()
        if name in NOT_NAMES - {SOURCE} or name == self.name:
            raise ValueError(f"`for_each`: a variable can't be called `{name}`")
        if not 0 < len(set(values)) == len(values) <= MOST_BRANCHES:
            raise ValueError(f"`for_each`: expected 1 to {MOST_BRANCHES} different values")
        if any(not value or len(value) > 64 or "/" in value for value in values):
            raise ValueError("`for_each`: expected values of 1 to 64 characters without `/`")
        return self

    @model_validator(mode="after")
    def _templates_are_good(self) -> Self:
        for field, template in self.templates.items():
            try:
                check_template(template)
            except UnusableTemplate as error:
                raise ValueError(f"`{field}` {error}") from error
        return self

    @model_validator(mode="after")
    def _settings_are_good(self) -> Self:
        try:
            _ = self.defaults
        except InvalidParameter as error:
            raise ValueError(error.message.removeprefix("the default ")) from error
        return self

    @cached_property
    def conditions(self) -> dict[str, str]:
        """`where` and `check` as templates, without what is not there."""
        given = {"where": self.where, "check": self.check}
        return {
            name: text if "{{" in text or "{%" in text else f"{{{{ {text} }}}}"
            for name, text in given.items()
            if text is not None
        }

    @cached_property
    def places(self) -> dict[str, str]:
        """The fields that are filled in for each row before it is a job, by name."""
        settings = {"text": self.text, **(self.model_extra or {})}
        return {
            name: text
            for name in TEMPLATED
            if isinstance(text := settings.get(name), str) and (name == "text" or _has_places(text))
        }

    @cached_property
    def templates(self) -> dict[str, str]:
        """All templates of the stage, by the field that they are in."""
        own = {} if self.template is None else {"template": self.template}
        return own | self.places | self.conditions

    @cached_property
    def variables(self) -> dict[str, frozenset[str]]:
        """The variables that each template uses, by its field."""
        return {field: variables_of(template) for field, template in self.templates.items()}

    @property
    def branch(self) -> tuple[str, tuple[str, ...]] | None:
        """The variable that it branches by, and its values."""
        return next(iter(self.for_each.items())) if self.for_each else None

    @cached_property
    def defaults(self) -> JobDefaults:
        """The defaults of its batches.

        Raises:
            InvalidParameter: a setting can't be; the message names it.
        """
        said = dict(self.model_extra or {})
        # Of all settings this alone may be a list of texts, which a query can't say.
        stops = said.pop("stop") if isinstance(said.get("stop"), list) else None
        settings = {name: _text(value) for name, value in said.items() if name not in self.places}
        own = {"kind": self.kind, "model": self.model, "template": self.template}
        given = {name: value for name, value in own.items() if value is not None}
        defaults = JobDefaults.from_query(given | settings)
        if stops is None:
            return defaults
        try:
            return msgspec.structs.replace(defaults, stop=msgspec.convert(stops, Stop))
        except msgspec.ValidationError as error:
            raise InvalidParameter(f"the default `stop`: {error}") from error


def _has_places(text: str) -> bool:
    return "{{" in text or "{%" in text


def _text(value: Any) -> str:
    """Return a setting as a query would give it."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | list | tuple | bool):
        return json.dumps(value, ensure_ascii=False)
    return str(value)

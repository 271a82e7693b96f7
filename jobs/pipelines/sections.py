"""The parts of a pipeline's file: unknown fields are errors, values don't change."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from jobs import wording


class Section(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


StageName = Annotated[str, Field(pattern=wording.STAGE)]


def _check_reference(reference: str) -> str:
    scheme, _, rest = reference.partition(":")
    if scheme not in {"env", "file"} or not rest:
        raise ValueError(
            "write it as env:NAME or file:PATH: what is secret is not in a pipeline's file"
        )
    return reference


Reference = Annotated[str, AfterValidator(_check_reference)]
"""Where a secret is, such as the address of a database: `env:NAME` or `file:PATH`."""

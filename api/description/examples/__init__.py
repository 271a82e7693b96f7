"""An example of each request's body and of each answer; the tests hold them to their schemas."""

from collections.abc import Mapping

from api.description.examples.anthropic import ANTHROPIC
from api.description.examples.example import Examples
from api.description.examples.openai import OPENAI
from api.description.examples.own import OWN
from api.description.examples.pipelines import PIPELINES
from api.description.examples.troubles import PROBLEMS

EXAMPLES: Mapping[str, Examples] = {**OWN, **PIPELINES, **OPENAI, **ANTHROPIC}
"""By method and path, as in `GET /api/batches`."""

__all__ = ["EXAMPLES", "PROBLEMS", "Examples"]

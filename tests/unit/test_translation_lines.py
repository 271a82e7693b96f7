"""What a line of the kind `translation` may say, and what its batch may say for it."""

import json
from typing import Any

import pytest

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.errors import InvalidParameter, LineFault
from jobs.kinds import KINDS
from jobs.lines import JobLine, LineReader, rebuild
from jobs.routing import Catalogue
from jobs.tokens import estimate_request

CATALOGUE = Catalogue(
    Configuration.model_validate(
        {
            "providers": {
                "mistral": {
                    "protocol": "mistral",
                    "base_url": "https://api.mistral.ai/v1",
                    "models": ["mistral-*"],
                }
            }
        }
    )
)

DEFAULTS = JobDefaults.from_query(
    {
        "kind": "translation",
        "model": "mistral-small",
        "source": "en",
        "target": "fr",
        "format": "markdown",
        "glossary": '{"mill": "moulin"}',
        "examples": '{"Hello.": "Bonjour."}',
        "tone": "formal",
        "part_tokens": "200",
    }
)


def read(fields: dict[str, Any], defaults: JobDefaults = DEFAULTS) -> JobLine | LineFault:
    return LineReader(defaults, CATALOGUE).read(
        1, json.dumps({"custom_id": "a", **fields}).encode()
    )


def good(fields: dict[str, Any]) -> JobLine:
    job = read(fields)
    assert isinstance(job, JobLine), job
    return job


def test_a_batchs_defaults_fill_a_translation() -> None:
    job = good({"text": "A mill."})
    assert job.kind == "translation"
    (request,) = KINDS["translation"].plan(rebuild(job.kind, job.request, DEFAULTS)).requests
    assert job.estimated_tokens == estimate_request(request)
    assert request.messages[-1].content.endswith("French: Bonjour.\n\nEnglish: A mill.\nFrench:")
    assert request.system is not None
    for part in ("from English into French", "Markdown", "mill = moulin", "formal"):
        assert part in request.system


def test_what_a_translations_line_says_goes_before_the_defaults_and_null_says_none() -> None:
    job = good(
        {"text": "A mill.", "target": "de", "glossary": None, "examples": None, "tone": None}
    )
    (request,) = KINDS["translation"].plan(rebuild(job.kind, job.request, DEFAULTS)).requests
    assert request.system is not None
    assert "into German" in request.system
    assert "moulin" not in request.system
    assert request.messages[-1].content == "A mill."


def test_a_long_text_is_estimated_in_all_its_parts() -> None:
    text = "This sentence has some seven words in it. " * 400
    job = good({"text": text})
    plan = KINDS["translation"].plan(rebuild(job.kind, job.request, DEFAULTS))
    assert len(plan.requests) > 10
    assert job.estimated_tokens == sum(map(estimate_request, plan.requests))


def test_the_words_that_a_field_takes_are_named() -> None:
    fault = read({"text": "A mill.", "format": "pdf"})
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("invalid_value", "format")
    assert fault.message == "expected `plain`, `markdown`, `html`, `json` or `subtitles`"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({}, "missing_field", "text"),
        ({"text": "a", "target": None}, "missing_field", "target"),
        ({"text": "a", "part_tokens": 1}, "out_of_range", "part_tokens"),
        ({"text": "a", "prompt": "b"}, "unknown_field", "prompt"),
        ({"text": "a", "glossary": {"a": 1}}, "wrong_type", "glossary"),
    ],
)
def test_a_bad_translations_field_is_named(fields: dict[str, Any], code: str, field: str) -> None:
    fault = read(fields)
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == (code, field)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            {"format": "pdf"},
            "`format`: expected `plain`, `markdown`, `html`, `json` or `subtitles`",
        ),
        ({"glossary": "{"}, "`glossary`"),
        ({"glossary": '{"a":"b","a":"c"}'}, "`glossary` has the key 'a' twice"),
        ({"glossary": '{"a":1}'}, "`glossary` expected an object of texts by texts"),
        ({"examples": "[]"}, "`examples` expected an object of texts by texts"),
        ({"target": "french"}, "`target` expected the tag of a language"),
        ({"source": "xx"}, "`source` expected the tag of a language"),
        ({"part_tokens": "0"}, "`part_tokens`: expected `int` >= "),
    ],
)
def test_a_translations_default_that_can_not_be_is_refused(
    query: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidParameter, match="the default") as raised:
        JobDefaults.from_query(query)
    assert said in raised.value.message

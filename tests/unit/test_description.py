"""The description of the API: every operation says what it is for, and shows what goes in and comes out."""

from typing import Any

import jsonschema_rs
import pytest

from api.app import create_app
from api.description.app import operations
from api.description.examples import EXAMPLES
from api.description.parameters import PARAMETERS
from api.openai.errors import CODES
from jobs.configuration import load_configuration
from jobs.settings import Settings

CONFIGURATION = '[providers.openai]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'

SHORTEST_WORDS = 3


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("described")
    config = folder / "tidemill.toml"
    config.write_text(CONFIGURATION, encoding="utf-8")
    app = create_app(Settings(home=folder, config=config), load_configuration(config))
    app.state.services.database.close()
    return app.openapi()


@pytest.fixture(scope="module")
def described(document: dict[str, Any]) -> dict[str, Any]:
    return dict(operations(document))


def faults_of(document: dict[str, Any], schema: Any, example: Any) -> list[str]:
    whole = {**schema, "components": document.get("components", {})}
    validator = jsonschema_rs.validator_for(whole)
    return [error.message for error in validator.iter_errors(example)]


def test_every_operation_has_a_summary_and_a_description(described: dict[str, Any]) -> None:
    poor = {
        name
        for name, operation in described.items()
        if len(operation.get("summary", "").split()) < SHORTEST_WORDS
        or not operation.get("description")
    }
    assert poor == set()


def test_every_parameter_is_described(described: dict[str, Any]) -> None:
    silent = {
        f"{name}: {parameter['name']}"
        for name, operation in described.items()
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    }
    assert silent == set(), "say it at the route, or in api/description/parameters.py"


def test_no_parameter_is_described_that_there_is_not(described: dict[str, Any]) -> None:
    names = {
        parameter["name"]
        for operation in described.values()
        for parameter in operation.get("parameters", ())
    }
    assert set(PARAMETERS) <= names


def test_every_answer_and_every_body_of_json_has_an_example_that_fits(
    document: dict[str, Any], described: dict[str, Any]
) -> None:
    wrong: dict[str, Any] = {}
    for name, operation in described.items():
        contents = {
            (status, kind): content
            for status, response in operation["responses"].items()
            if status.startswith("2")
            for kind, content in response.get("content", {}).items()
        }
        body = operation.get("requestBody", {}).get("content", {})
        contents |= {("body", kind): body[kind] for kind in body if "json" in kind}
        for (where, kind), content in contents.items():
            if "example" not in content:
                wrong[f"{name} {where} {kind}"] = "no example: add one to api/description/examples/"
            elif faults := faults_of(document, content.get("schema", {}), content["example"]):
                wrong[f"{name} {where} {kind}"] = faults
    assert wrong == {}


def test_no_example_is_of_an_operation_that_there_is_not(described: dict[str, Any]) -> None:
    assert set(EXAMPLES) <= set(described)


def _code_of(problem: dict[str, Any]) -> str:
    """The code that is told, in whichever surface's shape."""
    told = problem.get("error", problem)
    return str(told.get("details", {}).get("error_code") or told["code"])


def test_every_refusal_is_a_problem_with_codes(
    document: dict[str, Any], described: dict[str, Any]
) -> None:
    for name, operation in described.items():
        if name in {"GET /", "GET /openapi.json"}:
            continue
        for status in ("4XX", "5XX"):
            for content in operation["responses"][status]["content"].values():
                assert content["examples"], name
                for code, example in content["examples"].items():
                    assert faults_of(document, content["schema"], example["value"]) == []
                    assert _code_of(example["value"]) in {code, CODES.get(code)}, name


def test_what_can_be_polled_says_so(described: dict[str, Any]) -> None:
    polled = described["GET /api/batches/{batch_id}"]
    assert "304" in polled["responses"]
    assert [p["name"] for p in polled["parameters"]] == ["batch_id", "if-none-match"]
    assert "304" in described["GET /api/batches/{batch_id}/results"]["responses"]
    assert "304" not in described["POST /api/batches"]["responses"]

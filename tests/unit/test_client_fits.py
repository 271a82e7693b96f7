"""The client has what the server has: fields, parameters, words, dependencies; and needs nothing more."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from pydantic import BaseModel

from api.pipelines import shapes as pipelines
from api.quoting.shapes import QuoteShape, TargetTakings
from api.routes import receipts
from api.routes.budget import BudgetShape, PeriodShape
from api.routes.retries import FIXED
from api.routes.submissions import SubmissionQuery
from api.routes.usage import DIMENSIONS
from api.shapes import (
    BatchPage,
    BatchShape,
    Counts,
    Eta,
    FinalCost,
    ForecastJudged,
    NativeBatchShape,
    Tokens,
)
from jobs.kinds import KINDS
from jobs.states import FINAL_BATCH_STATES, FINAL_RUN_STATES
from jobs.store.money.ledger import SUM_NAMES
from tests.support.system import ROOT
from tidemill import errors, run_shapes, shapes, sums
from tidemill.fixes import FIXES
from tidemill.lines import WHOLE
from tidemill.options import Kind, Options, RetryOptions

FOLDER = ROOT / "api/client"

PAIRS: list[tuple[type[msgspec.Struct], type[BaseModel]]] = [
    (shapes.Batch, BatchShape),
    (shapes.BatchPage, BatchPage),
    (shapes.NativeBatch, NativeBatchShape),
    (shapes.Counts, Counts),
    (shapes.Usage, Tokens),
    (shapes.Eta, Eta),
    (shapes.UsdRange, FinalCost),
    (shapes.Forecast, ForecastJudged),
    (sums.Quote, QuoteShape),
    (sums.TargetTakings, TargetTakings),
    (sums.Budget, BudgetShape),
    (sums.Period, PeriodShape),
    (sums.Receipt, receipts.ReceiptShape),
    (sums.ReceiptPart, receipts.ReceiptPart),
    (sums.ReceiptSavings, receipts.ReceiptSavings),
    (sums.ReceiptWaste, receipts.ReceiptWaste),
    (sums.ReceiptDeadlines, receipts.ReceiptDeadlines),
    (run_shapes.Schedule, pipelines.ScheduleShape),
    (run_shapes.Pipeline, pipelines.PipelineShape),
    (run_shapes.Saved, pipelines.SavedShape),
    (run_shapes.RunReceipt, pipelines.ReceiptShape),
    (run_shapes.RunRows, pipelines.RunRows),
    (run_shapes.Run, pipelines.RunDetail),
    (run_shapes.Stage, pipelines.StageShape),
    (run_shapes.Sink, pipelines.SinkShape),
    (run_shapes.RunPage, pipelines.RunPage),
    (run_shapes.Failure, pipelines.FailureShape),
]


def fields(shape: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(shape)}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_shape_has_the_fields_that_the_server_sends(
    ours: type[msgspec.Struct], theirs: type[BaseModel]
) -> None:
    assert fields(ours) == set(theirs.model_fields)


def test_a_row_of_usage_has_all_sums() -> None:
    names = {name.replace("_nanos", "_usd") for name in SUM_NAMES}
    assert fields(sums.UsageRow) == names | set(DIMENSIONS)


def test_a_batch_and_a_run_end_in_the_servers_final_states() -> None:
    assert set(map(str, FINAL_BATCH_STATES)) == shapes.FINAL_STATES
    assert set(map(str, FINAL_RUN_STATES)) == run_shapes.FINAL_RUN_STATES


def test_the_options_are_the_servers_parameters() -> None:
    parameters = {info.alias or name for name, info in SubmissionQuery.model_fields.items()}
    assert set(Options.__annotations__) == parameters - {"dry_run", "from_url"}
    assert set(RetryOptions.__annotations__) == parameters - FIXED
    assert set(get_args(Kind)) == set(KINDS)


def test_whole_numbers_are_the_fields_of_lines_that_are_integers() -> None:
    integers = {
        field.name
        for kind in KINDS.values()
        for field in msgspec.structs.fields(kind.line_type)
        if re.search(r"\bint\b", str(field.type))
    }
    assert integers == WHOLE


def test_what_helps_is_said_in_the_words_of_the_page() -> None:
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    requests, _, _ = page.partition("## Of a result")
    told: dict[str, set[str]] = {}
    for line in requests.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for code in re.findall(r"`(\w+)`", cells[0]):
                told.setdefault(code, set()).add(cells[-1])
    assert {code: words for code, words in FIXES.items() if words not in told.get(code, ())} == {}


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    def drawn(kind: type[Exception], depth: int = 1) -> list[str]:
        below = [line for sub in kind.__subclasses__() for line in drawn(sub, depth + 1)]
        return [f"{'  ' * (depth + 1)}{kind.__name__}", *below]

    assert "\n".join(drawn(errors.TidemillError)) in str(errors.__doc__)


def test_its_dependencies_are_those_of_the_whole() -> None:
    alone = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(alone["dependencies"]) <= set(whole["dependencies"])
    assert alone["version"] == whole["version"]


ALONE = """
import json, sys

ALLOWED = {
    *(name.split(">")[0] for name in json.loads(sys.argv[1])),
    *{"tidemill", "anyio", "certifi", "h11", "httpcore", "idna", "sniffio", "typing_extensions"},
}

class Nothing:
    "Finds nothing else, as if it were not installed."

    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())
import tidemill
from tqdm.auto import tqdm
print(tidemill.__file__)
"""


def test_alone_it_is_one_package_and_needs_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(  # noqa: S603 - the builder of our own wheels
        [*build, "--directory", str(tmp_path)], cwd=FOLDER, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("tidemill_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tidemill"}
    data = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))
    dependencies = msgspec.json.encode(data["project"]["dependencies"]).decode()
    run = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", ALONE, dependencies],
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(tmp_path / "site/tidemill/__init__.py")

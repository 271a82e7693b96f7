"""Pipelines' files: what a good one says, and where a bad one is wrong."""

from pathlib import Path

import pytest

from jobs.errors import ConfigurationError
from jobs.pipelines.files import Pipeline, load_pipeline

GOOD = """\
name = "nightly-articles"
schedule = { cron = "0 22 * * *", zone = "Europe/Paris", overlap = "skip" }
deadline = "06:00"
budget_usd = "20.00"
lane = "auto"
model = "cheap"

[source]
files = "in/{date}/*.jsonl"
key = "id"
only_new = true

[[stages]]
name = "summary"
kind = "generation"
template = "Summarise: {{ row.text }}"
max_tokens = 300

[[stages]]
name = "translations"
kind = "translation"
text = "{{ summary }}"
source = "en"
for_each = { target = ["fr", "de"] }
where = "summary | length > 20"

[[stages]]
name = "facts"
kind = "extraction"
after = "summary"
text = "{{ row.text }}"
schema = "file:facts.json"
check = "output.people"

[[stages]]
name = "page"
kind = "generation"
after = ["translations", "facts"]
template = "{{ translations.fr }} {{ facts.people | join(', ') }}"

[[sinks]]
parquet = "out/{date}/articles.parquet"
of = "page"
"""


def _write(folder: Path, text: str) -> Path:
    (folder / "facts.json").write_text('{"type": "object"}')
    path = folder / "articles.toml"
    path.write_text(text)
    return path


def test_a_file_says_what_a_run_does(tmp_path: Path) -> None:
    pipeline = load_pipeline(_write(tmp_path, GOOD))
    assert [stage.name for stage in pipeline.stages] == ["summary", "translations", "facts", "page"]
    assert pipeline.budget_nanos == 20_000_000_000
    assert pipeline.zone_info.key == "Europe/Paris"
    assert pipeline.flow.inputs == ((), (0,), (0,), (1, 2))
    assert pipeline.flow.branches(1) == ("fr", "de")
    assert pipeline.stages[0].defaults.max_tokens == 300
    assert pipeline.stages[2].defaults.schema == '{"type": "object"}'
    assert pipeline.stages[1].conditions == {"where": "{{ summary | length > 20 }}"}


def test_a_run_keeps_the_file_as_it_was(tmp_path: Path) -> None:
    pipeline = load_pipeline(_write(tmp_path, GOOD))
    kept = Pipeline.from_json(pipeline.to_json())
    assert kept == pipeline
    assert kept.digest == pipeline.digest
    assert kept.stages[0].defaults == pipeline.stages[0].defaults


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ('"0 22 * * *", zone = "Europe/Paris"', '"0 22 * * *", zone = "Mars"', "line 2.*time zone"),
        ('deadline = "06:00"', 'deadline = "6"', "line 3: deadline: .*HH:MM"),
        (
            'budget_usd = "20.00"',
            'budget_usd = "many"',
            "line 4: budget_usd: 'many' is not a decimal",
        ),
        ('lane = "auto"', 'line = "auto"', "line 5: line: there is no such parameter"),
        ("only_new = true", "only_old = true", "line 11: source.only_old: there is no such"),
        ('files = "in/{date}/*.jsonl"', "", "line 8: source: expected one of `files`"),
        ('kind = "generation"', 'kind = "poem"', r"line 15: stages\[0\].kind: .*'generation'"),
        ("max_tokens = 300", "max_tokens = 0", r"line 13: stages\[0\]: `max_tokens`"),
        ("max_tokens = 300", "max_token = 300", r"line 13: stages\[0\]: .*max_token"),
        ('row.text }}"\nmax', 'rows.text }}"\nmax', r"stages\[0\].template: .*variable `rows`"),
        (
            'text = "{{ summary }}"',
            'text = "{{ sumary }}"',
            r"line 22: stages\[1\].text: .*`sumary`.*summary",
        ),
        ('target = ["fr", "de"]', 'target = ["fr", "fr"]', r"stages\[1\]: `for_each`.*different"),
        (
            'after = "summary"',
            'after = "sumary"',
            r"stages\[2\]: `after`.*no stage `sumary` before",
        ),
        ('name = "facts"', 'name = "summary"', r"stages\[2\]: another stage is called `summary`"),
        ('of = "page"', 'of = "pages"', r"sinks\[0\].of: there is no stage `pages`"),
        ("file:facts.json", "file:fact.json", r"stages\[2\].schema: .*fact.json can't be read"),
        ("[source]", "[source", "is not valid TOML.*line 8"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, good: str, bad: str, message: str
) -> None:
    assert good in GOOD
    with pytest.raises(ConfigurationError, match=message):
        load_pipeline(_write(tmp_path, GOOD.replace(good, bad, 1)))


def test_two_sinks_do_not_write_one_file(tmp_path: Path) -> None:
    again = '[[sinks]]\ncsv = "out/./{date}/articles.parquet"\n'
    with pytest.raises(ConfigurationError, match=r"line 45: sinks\[1\].csv: sinks\[0\] writes"):
        load_pipeline(_write(tmp_path, GOOD + again))


def test_a_list_whose_parts_are_wrong_is_not_told_as_empty(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index('[[stages]]\nname = "translations"')]
    with pytest.raises(ConfigurationError) as told:
        load_pipeline(_write(tmp_path, text.replace("max_tokens = 300", "max_tokens = 0")))
    assert len(told.value.message.splitlines()) == 1
    none = GOOD[: GOOD.index("[[stages]]")].replace("[source]", "stages = []\n[source]")
    with pytest.raises(ConfigurationError, match="stages: Tuple should have at least 1 item"):
        load_pipeline(_write(tmp_path, none))


def test_several_texts_may_end_an_answer(tmp_path: Path) -> None:
    for said, expected in (('"."', "."), ('["\\n", "."]', ("\n", "."))):
        text = GOOD.replace("max_tokens = 300", f"stop = {said}")
        assert load_pipeline(_write(tmp_path, text)).stages[0].defaults.stop == expected
    with pytest.raises(ConfigurationError, match="stop"):
        load_pipeline(_write(tmp_path, GOOD.replace("max_tokens = 300", "stop = [1]")))


def test_the_pages_example_is_a_pipeline(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    assert load_pipeline(_write(tmp_path, example)).name == "nightly-articles"

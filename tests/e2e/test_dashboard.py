"""Every page and button in a real browser, against one running system in which a night went on."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has none
from playwright.sync_api import Browser, Page, expect

from jobs.scopes import Scope
from jobs.store.projects import create_key
from scripts.showcase import night
from tests.support.system import System, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator", "tests.support.chromium")

WITHIN_MS = 15_000

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def simulator_options() -> Sequence[str]:
    return night.SIMULATOR


@pytest.fixture(scope="module")
def system(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    url = shared_simulator.url
    with running_system(tmp_path_factory.mktemp("night"), url) as system:
        system.config.write_text(night.configuration(url), encoding="utf-8")
        system.start_up()
        yield system


@pytest.fixture(scope="module")
def refs(system: System, run: str) -> Mapping[str, str]:
    assert run
    return night.send(system.http)


@pytest.fixture(scope="module")
def run(system: System) -> str:
    return night.run_pipeline(system.http, system.config.parent)


def logged_in(browser: Browser, system: System, key: str, **options: Any) -> Page:
    """Return a page of a browser of its own, in which somebody has logged in."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(WITHIN_MS)
    page.goto(f"{system.url}/")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name=re.compile("Log out"))).to_be_visible()
    return page


@pytest.fixture(scope="module")
def page(chromium: Browser, system: System, refs: Mapping[str, str]) -> Iterator[Page]:
    """Where somebody with every scope has logged in, and every address that was asked for is noted."""
    assert refs
    page = logged_in(chromium, system, system.key, viewport=DESKTOP, accept_downloads=True)
    yield page
    page.context.close()


def key_of(system: System, *scopes: Scope) -> str:
    with system.database() as database, database.write() as session:
        return create_key(session, 1, scopes=scopes)


def addresses(refs: Mapping[str, str], run: str) -> list[str]:
    batch = f"/batches/{refs['invoices-november']}"
    return [
        "/",
        batch,
        f"/batches/{refs['catalogue-2027']}",
        f"{batch}/results?status=failed",
        f"{batch}/results/0",
        "/pools",
        "/workers",
        "/pipelines",
        f"/runs/{run}",
        "/usage",
        "/settings",
        "/nothing-here/",
    ]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits_and_loads_nothing_from_elsewhere(
    chromium: Browser,
    page: Page,
    system: System,
    refs: Mapping[str, str],
    run: str,
    viewport: Any,
    scheme: Any,
) -> None:
    context = chromium.new_context(
        viewport=viewport, color_scheme=scheme, storage_state=page.context.storage_state()
    )
    seen: list[str] = []
    faults: list[str] = []
    view = context.new_page()
    view.on("request", lambda request: seen.append(request.url))
    view.on("pageerror", lambda error: faults.append(str(error)))
    view.on(
        "console",
        lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None,
    )
    for address in addresses(refs, run)[:-1]:
        view.goto(f"{system.url}{address}")
        found = Axe().run(view)
        assert found.violations_count == 0, f"{address}: {found.generate_report()}"
        width = view.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], f"{address} is {width} wide"
    context.clear_cookies()
    view.goto(f"{system.url}/login")
    assert Axe().run(view).violations_count == 0
    assert {httpx.URL(url).netloc for url in seen} == {httpx.URL(system.url).netloc}
    assert faults == []
    context.close()


def test_the_headline_tells_how_the_night_went_and_why_not(
    page: Page, system: System, refs: Mapping[str, str]
) -> None:
    page.goto(f"{system.url}/")
    told = page.get_by_label("How things stand")
    expect(told).to_contain_text("1 run done, ")
    expect(told).to_contain_text("2 wait: ")
    expect(told).to_contain_text("gemini/main is paused until")
    expect(told).to_contain_text("summaries-q3's budget of $0.60 is used up")
    expect(told).to_contain_text("failed, most with schema_violation")
    slow = page.locator("li", has_text="support-tickets")
    expect(slow).to_contain_text(re.compile(r"Its pace: anthropic/main (is at its limit|has)"))
    expect(slow).to_contain_text(re.compile(r"\d+ min"))
    assert refs


def test_a_page_follows_what_happens_until_it_is_told_to_stand_still(
    page: Page, system: System, refs: Mapping[str, str]
) -> None:
    page.goto(f"{system.url}/batches/{refs['support-tickets']}")
    figure = page.locator("a.figure", has_text="succeeded").locator("b")
    before = figure.inner_text()
    expect(figure).not_to_have_text(before)
    page.get_by_role("button", name="Live").click()
    with (
        pytest.raises(Exception, match="Timeout"),
        page.expect_request("**/batches/**", timeout=4500),
    ):
        pass
    page.get_by_role("button", name="Live").click()
    expect(figure).not_to_have_text(figure.inner_text())


def test_a_batch_shows_its_course_its_calls_and_what_went_wrong(
    page: Page, system: System, refs: Mapping[str, str]
) -> None:
    page.goto(f"{system.url}/batches/{refs['invoices-november']}")
    for title in ("Jobs ended over time", "Pace", "Latency of calls", "Cost by model"):
        expect(page.get_by_text(title, exact=True)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile(r"400 of 400 jobs ended"))).to_be_visible()
    wrong = page.locator("#reasons")
    expect(wrong).to_contain_text("is a required property")
    wrong.get_by_role("link", name="schema_violation").click()
    rows = page.locator("table.results tbody tr")
    expect(rows).to_have_count(50)
    expect(rows.first).to_contain_text("failed")
    first = rows.first.get_by_role("link").inner_text()
    page.get_by_role("link", name="Older").click()
    expect(page.locator("table.results tbody tr").first).not_to_contain_text(first)


def test_results_are_found_by_name_and_shown_beside_what_was_asked(
    page: Page, system: System, refs: Mapping[str, str]
) -> None:
    page.goto(f"{system.url}/batches/{refs['product-blurbs']}/results")
    page.get_by_label("Name begins with").fill("lamp-0012")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("table.results tbody tr")).to_have_count(10)
    page.get_by_role("link", name="lamp-00123").click()
    expect(page.locator("section", has_text="Asked").locator("pre")).to_contain_text("lamp 123")
    expect(page.locator("section", has_text="Answered").locator("pre")).to_contain_text(
        "lamp-00123"
    )
    expect(page.locator("table")).to_contain_text("sim-")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("heading", name="lamp-00124")).to_be_visible()


def test_results_are_downloaded_by_the_login_alone(
    page: Page, system: System, refs: Mapping[str, str]
) -> None:
    page.goto(f"{system.url}/batches/{refs['reviews-fr']}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    path = download.value.path()
    assert len(path.read_bytes().splitlines()) == 400
    assert download.value.suggested_filename == f"{refs['reviews-fr']}.jsonl"


def test_the_buttons_steer_a_batch(page: Page, system: System) -> None:
    ref = system.submit(lines(4000, model="anthropic/sim-small"), name="steered")
    page.goto(f"{system.url}/batches/{ref}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#stands")).to_contain_text("Paused")
    expect(page.locator("#stands")).to_contain_text("paused by its owner")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#stands")).to_contain_text(re.compile("Running|Queued"))
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel this batch").click()
    expect(page.locator("#stands")).to_contain_text(re.compile("Cancell"))
    system.wait(ref)
    # The page finds out itself; what was cancelled may be run again, once however often it is asked.
    page.get_by_role("button", name="Retry what failed").dblclick()
    page.wait_for_url(lambda url: not url.endswith(ref))
    expect(page.get_by_text("a retry of")).to_be_visible()
    retries = [b for b in system.http.get("/api/batches").json()["data"] if b["retry_of"] == ref]
    assert len(retries) == 1
    system.act(retries[0]["id"], "cancel")


def test_a_run_shows_its_stages_and_its_buttons_steer_it(page: Page, system: System) -> None:
    page.goto(f"{system.url}/")
    page.locator("#runs").get_by_role("link", name="reviews-digest, 2026-11-27").click()
    stages = page.get_by_role("list", name="Stages in their order").locator("li")
    expect(stages).to_have_count(5)
    expect(stages.nth(1)).to_contain_text("240 of 240 done")
    expect(page.get_by_role("region", name="Rows that failed")).to_contain_text("review-")
    page.get_by_role("button", name="Retry what failed").dblclick()
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.get_by_label("How it stands")).to_contain_text("It is cancelled")
    expect(page.get_by_role("button", name="Retry what failed")).to_be_visible()


def test_what_a_model_or_a_user_wrote_is_text_and_never_runs(page: Page, system: System) -> None:
    job = {"custom_id": HOSTILE, "model": "openai/sim-small", "prompt": HOSTILE}
    ref = system.submit([job], name=HOSTILE)
    system.wait(ref)
    for address in ("/", f"/batches/{ref}", f"/batches/{ref}/results", f"/batches/{ref}/results/0"):
        page.goto(f"{system.url}{address}")
        assert HOSTILE in page.locator("body").inner_text(), address
    page.goto(f"{system.url}/batches/{ref}/results?name={HOSTILE}&code={HOSTILE}")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0


def test_pools_workers_usage_and_settings_tell_what_is(page: Page, system: System) -> None:
    page.get_by_role("link", name="Pools").click()
    blocked = page.locator("section.pool", has_text="gemini/main")
    expect(blocked).to_contain_text("quota_exhausted")
    expect(blocked).to_contain_text("open")
    expect(page.locator("section.pool", has_text="anthropic/main")).to_contain_text("of 240")
    page.get_by_role("link", name="Workers").click()
    expect(page.get_by_text("1 worker at work")).to_be_visible()
    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("rowheader", name="openai/sim-large").last).to_be_visible()
    page.get_by_label("By", exact=True).select_option("outcome")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("rowheader", name="succeeded").last).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_text("Provider anthropic")).to_be_visible()
    assert system.key not in page.content()


def test_colours_are_changed_and_stay(page: Page, system: System) -> None:
    page.goto(f"{system.url}/workers")

    def paper() -> Any:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = paper()
    page.get_by_role("button", name="Change to dark colours").click()
    dark = paper()
    page.reload()
    assert paper() == dark != light
    page.get_by_role("button", name="Change to light colours").click()


def test_pages_are_used_by_keyboard_alone(page: Page, system: System) -> None:
    page.goto(f"{system.url}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.closest('main') !== null")
    assert focused
    page.keyboard.press("Enter")
    page.wait_for_url("**/batches/**")


def test_a_key_that_may_only_read_sees_no_buttons_and_can_not_send_their_forms(
    chromium: Browser, system: System, refs: Mapping[str, str]
) -> None:
    view = logged_in(chromium, system, key_of(system, Scope.READ))
    view.goto(f"{system.url}/batches/{refs['support-tickets']}")
    expect(view.get_by_role("link", name="Download")).to_be_visible()
    assert view.locator("main form").count() == 0
    assert view.get_by_role("link", name="Settings").count() == 0
    reply = view.goto(f"{system.url}/settings")
    assert reply is not None
    assert reply.status == 403
    view.context.close()


def test_no_script_sees_the_cookie_and_no_key_is_in_the_browser(page: Page, system: System) -> None:
    page.goto(f"{system.url}/")
    assert page.evaluate("document.cookie") == ""
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    held = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert system.key not in held + page.content() + cookie["value"]


def test_the_page_of_another_site_can_neither_look_nor_change(
    chromium: Browser, page: Page, system: System, refs: Mapping[str, str]
) -> None:
    """The same machine by another name is another site, as a browser sees it."""
    context = chromium.new_context(storage_state=page.context.storage_state())
    view = context.new_page()
    evil = system.url.replace("127.0.0.1", "localhost")
    view.route(f"{evil}/evil", lambda route: route.fulfill(body="<p>", content_type="text/html"))
    view.goto(f"{evil}/evil")
    before = system.batch(refs["support-tickets"])["state"]
    for verb in ("pause", "cancel"):
        view.goto(f"{evil}/evil")
        target = f"{system.url}/batches/{refs['support-tickets']}/{verb}"
        with view.expect_response(target) as answered:
            view.evaluate(
                "target => {const f = document.createElement('form'); f.method = 'post';"
                "f.action = target; document.body.append(f); f.submit()}",
                target,
            )
        assert answered.value.status == 403
        assert "cookie" not in answered.value.request.all_headers()
        view.wait_for_url(target)  # or the next page would interrupt this one
    assert system.batch(refs["support-tickets"])["state"] == before
    context.close()


def test_a_logout_is_an_end_also_for_who_has_copied_the_cookie(
    chromium: Browser, system: System
) -> None:
    view = logged_in(chromium, system, system.key)
    (cookie,) = view.context.cookies()
    stolen = {"cookie": f"{cookie['name']}={cookie['value']}"}
    assert httpx.get(f"{system.url}/workers", headers=stolen, trust_env=False).status_code == 200
    view.get_by_role("button", name=re.compile("Log out")).click()
    expect(view.get_by_role("heading", name="Log in to Tidemill")).to_be_visible()
    assert view.context.cookies() == []
    assert httpx.get(f"{system.url}/workers", headers=stolen, trust_env=False).status_code == 303
    view.goto(f"{system.url}/usage?days=7")
    assert view.url == f"{system.url}/login?next=/usage%3Fdays%3D7"
    view.get_by_label("API key").fill("tm_wrong")
    view.get_by_role("button", name="Log in").click()
    expect(view.get_by_role("alert").first).to_contain_text("not known")
    view.get_by_label("API key").fill(system.key)
    view.get_by_role("button", name="Log in").click()
    view.wait_for_url("**/usage?days=7")
    view.context.close()

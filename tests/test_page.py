"""The page of the service in a real browser, over a real server: what a person does, sees, and is told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from page_server import ARGUMENTS, CHROMIUM, COLOURS, Page, luminance, noisy, press_until, served

pytest.importorskip("fastapi", reason="the service needs fastapi")
pytest.importorskip("nssr.server", reason="the service is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
if CHROMIUM is None:
    pytest.skip("the page's tests need chromium", allow_module_level=True)

DATA = Path(__file__).parent / "data"
PHONE = {"width": 390, "height": 800}
EVIL = '<script>hacked=1<img src=x onerror="hacked=1">\'"&amp;'
FIT_LIMIT = 30_000  # milliseconds from the CSV to its law


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("page") / "data") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, address: str) -> Iterator:
    """Opens tabs; none may have complained when the test is over."""
    pages: list[Page] = []

    def open_page(**given) -> Page:
        pages.append(Page(browser, address, **given))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()
    assert [complaint for page in pages for complaint in page.complaints] == []


def start_long_search(page: Page, name: str, most: float = 60) -> str:
    """The id of a search that is running and has a formula to show."""
    tab = page.go(f"#/new?dataset={quote(page.upload(name, noisy()), safe='')}")
    tab.get_by_label("Seconds to search").fill(str(most))
    tab.locator("form").get_by_role("button", name="Find a formula").click()
    tab.get_by_role("heading", name="The best so far").wait_for()
    return re.search(r"#/jobs/([^?]+)", tab.url).group(1)


# ---- from a table to a law, to a function, to a number -----------------------------------------------------------------


def test_keplers_table_becomes_a_law_and_the_law_a_function(opened):
    page = opened()
    tab = page.tab
    started = time.monotonic()
    tab.set_input_files("#file", DATA / "kepler_1619.csv")
    tab.get_by_role("heading", name="Table kepler_1619").wait_for()
    tab.get_by_role("heading", name="The table").wait_for()
    assert tab.locator("table.data tbody tr").count() == 6
    assert tab.get_by_label("Target").input_value() == "period_days"
    tab.get_by_label("Seconds to search").fill("8")
    tab.locator("form").get_by_role("button", name="Find a formula").click()
    tab.get_by_role("heading", name="The formula").wait_for(timeout=FIT_LIMIT)
    assert time.monotonic() - started < FIT_LIMIT / 1000
    formula = tab.locator(".formula-text code").inner_text()
    assert re.search(r"semi_major_axis_au\*\*1\.5|sqrt\(semi_major_axis_au", formula)
    assert tab.locator(".formula-line math").count() == 1
    assert tab.locator(".formula-line math [href], .formula-line math [onclick]").count() == 0
    assert tab.locator("svg[role=img]").count() == 3  # the front, the fit, the residuals
    assert tab.get_by_role("img", name=re.compile("for 6 rows")).count() == 2

    tab.get_by_label("Name of the function").fill("KEPLER")
    tab.get_by_role("button", name="Keep", exact=True).click()
    tab.get_by_text("Kept as").wait_for()
    tab.get_by_role("link", name="KEPLER", exact=True).click()
    tab.get_by_role("heading", name="KEPLER").wait_for()
    tab.get_by_label("Input 1").fill("1")
    tab.get_by_role("button", name="Another row").click()
    tab.get_by_label("Input 1").nth(1).fill("4")
    tab.get_by_role("button", name="Compute").click()
    tab.locator("output.value").nth(1).wait_for()
    one, four = (float(text.lstrip("= ")) for text in tab.locator("output.value").all_inner_texts())
    assert one == pytest.approx(365.25, rel=0.01)
    assert four / one == pytest.approx(4**1.5, rel=1e-9)  # a**1.5, whatever way it is written
    tab.get_by_role("button", name="Python").click()
    assert "def " in tab.locator("pre.export").inner_text()

    node = tab.locator("[data-function=KEPLER]")
    assert "layer" in node.get_attribute("aria-label")
    assert tab.locator(".edge.within").count() >= 1
    tab.go_back()
    tab.get_by_role("heading", name="The formula").wait_for()


def test_a_dropped_file_is_taken_and_a_second_of_the_name_gets_another(opened):
    page = opened()
    for expected in ("dropped", "dropped-2"):
        tab = page.go("#/new")
        tab.get_by_text("Drop a CSV file here").wait_for()
        tab.locator(".drop").evaluate(
            """(element) => { const data = new DataTransfer();
            data.items.add(new File(['x,y\\n1,2\\n2,4\\n3,6\\n'], 'dropped.csv', { type: 'text/csv' }));
            element.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); }"""
        )
        tab.get_by_role("heading", name=f"Table {expected}", exact=True).wait_for()


def test_another_target_can_be_asked_for(opened):
    page = opened()
    tab = page.go(f"#/new?dataset={page.upload('turned', 'x,y' + ''.join(f'{chr(10)}{i},{3 * i}' for i in range(1, 9)))}")
    tab.get_by_label("Target").select_option("x")
    tab.locator("form").get_by_role("button", name="Find a formula").click()
    tab.get_by_role("heading", name="Formula for x").wait_for()
    tab.get_by_role("heading", name="The formula").wait_for(timeout=FIT_LIMIT)
    assert "y" in tab.locator(".formula-text code").inner_text()


def test_a_function_is_learned_by_name(opened):
    page = opened()
    rows = "".join(f"\n{a},{b},{a * b + a}" for a in range(1, 6) for b in range(2, 6))
    tab = page.go(f"#/new?dataset={page.upload('steps', 'a,b,y' + rows)}&task=train")
    tab.get_by_label("Name of the function").fill("A_TIMES_B_PLUS_A")
    tab.get_by_text("More: depth and training").click()
    tab.get_by_label("Epochs of training").fill("1")
    tab.get_by_role("button", name="Learn it").click()
    tab.get_by_role("link", name="See it in the library").wait_for(timeout=120_000)
    tab.get_by_role("link", name="See it in the library").click()
    tab.get_by_role("heading", name="Composition").wait_for()
    tab.get_by_label("Input 1").fill("4")
    tab.get_by_label("Input 2").fill("5")
    tab.get_by_role("button", name="Compute").click()
    tab.locator("output.value").wait_for()
    assert tab.locator("output.value").inner_text() == "= 24"


# ---- a search as it goes -------------------------------------------------------------------------------------------------


def test_a_reload_in_the_middle_goes_on_and_stop_keeps_the_best(opened):
    page = opened()
    tab = page.tab
    job = start_long_search(page, "long")
    tab.reload()
    tab.get_by_role("heading", name="The best so far").wait_for()
    tried = tab.locator(".figures dd").nth(1)
    tried.wait_for()
    before = tried.get_attribute("title")
    tab.wait_for_function("(before) => document.querySelectorAll('.figures dd')[1]?.title !== before", arg=before)
    tab.get_by_role("button", name="Stop").click()
    tab.get_by_role("heading", name="The formula").wait_for()
    assert tab.locator("h1 .badge").inner_text() == "cancelled"
    assert tab.locator(".formula-text code").inner_text()
    assert page.api("GET", f"/jobs/{job}")["state"] == "cancelled"
    tab = page.go("#/history")
    tab.locator(f"a[href='#/jobs/{job}']").first.click()
    tab.get_by_role("heading", name="The formula").wait_for()


def test_a_lost_connection_is_said_and_comes_back(opened):
    page = opened()
    tab = page.tab
    job = start_long_search(page, "interrupted")
    tab.route("**/events", lambda route: route.abort())
    tab.reload()
    tab.get_by_text("The connection is interrupted").wait_for()
    tab.unroute("**/events")
    tab.get_by_text("The connection is interrupted").wait_for(state="detached")
    tab.get_by_role("heading", name="The best so far").wait_for()
    page.api("DELETE", f"/jobs/{job}")
    tab.get_by_role("heading", name="The formula").wait_for()


# ---- refusals, and text from outside ---------------------------------------------------------------------------------------


def test_a_bad_table_is_refused_in_words_and_nothing_typed_is_lost(opened):
    page = opened()
    tab = page.tab
    text = "a,b\n1,2\n3,apple\n"
    tab.get_by_text("Paste a table").click()
    tab.get_by_label("Table", exact=True).fill(text)
    tab.get_by_role("button", name="Use this table").click()
    told = tab.get_by_role("alert")
    told.wait_for()
    answer = page.context.request.post(
        f"{page.base}/datasets/upload?name=bad", data=text, headers={"Content-Type": "text/csv", "Origin": page.base}
    )
    assert answer.status >= 400
    assert answer.json()["detail"] in told.inner_text()
    assert tab.get_by_label("Table", exact=True).input_value() == text
    tab.reload()
    assert tab.get_by_label("Table", exact=True).input_value() == text


def test_a_refused_search_says_so_at_the_form(opened):
    page = opened()
    tab = page.go(f"#/new?dataset={page.upload('refused', noisy(20))}")
    tab.get_by_label("Seconds to search").fill("1e9")
    tab.locator("form").get_by_role("button", name="Find a formula").click()
    tab.locator("form").get_by_role("alert").wait_for()
    assert tab.get_by_label("Seconds to search").input_value() == "1e9"
    tab.get_by_text("More: complexity").click()
    tab.get_by_label("Seconds to search").fill("5")
    tab.get_by_label("The columns have units").check()
    tab.get_by_label("a", exact=True).fill("furlongs per fortnigh")
    tab.locator("form").get_by_role("button", name="Find a formula").click()
    tab.get_by_role("alert").filter(has_text="furlongs per fortnigh").wait_for()
    if "#/jobs/" in tab.url:  # what only the search can know is said where the search is
        tab.go_back()
    assert tab.get_by_label("a", exact=True).input_value() == "furlongs per fortnigh"


def test_names_from_outside_stay_text(opened):
    page = opened()
    tab = page.tab
    tab.get_by_text("Paste a table").click()
    quoted = '"' + EVIL.replace('"', '""') + '"'
    tab.get_by_label("Name").fill(EVIL)
    tab.get_by_label("Table", exact=True).fill(f"{quoted},y\n" + "".join(f"{i},{2 * i + 1}\n" for i in range(1, 9)))
    tab.get_by_role("button", name="Use this table").click()
    tab.get_by_role("heading", name="The table").wait_for()
    assert EVIL in tab.locator("h1").inner_text()
    assert EVIL in tab.locator("thead th").first.inner_text()
    tab.locator("form").get_by_role("button", name="Find a formula").click()
    tab.get_by_role("heading", name="The formula").wait_for(timeout=FIT_LIMIT)
    assert EVIL in tab.locator(".facts").first.inner_text()
    for route in ("#/datasets", "#/history"):
        page.go(route)
        tab.get_by_text(EVIL).first.wait_for()
    assert tab.evaluate("typeof hacked") == "undefined"
    assert tab.locator("script").count() == 1
    assert tab.locator("img").count() == 1  # the page's own sign


def test_maths_takes_elements_of_presentation_and_nothing_else(opened):
    page = opened()
    made = page.tab.evaluate(
        """async () => { const { mathOf } = await import('/static/maths.js');
        const text = (m) => mathOf(m)?.outerHTML ?? null;
        return [
          text('<mrow onclick="hacked=1" href="javascript:1"><mi mathvariant="normal" style="x:y">a</mi>'
            + '<mo>&InvisibleTimes;</mo><mn>2</mn></mrow>'),
          text('<mfenced><mi>a</mi><mi>b</mi></mfenced>'),
          text('<mi>a</mi><script>hacked=1</script>'),
          text('<maction><mi>a</mi></maction>'),
          text('<mi>a<b xmlns="http://www.w3.org/1999/xhtml">x</b></mi>'),
          text('<annotation-xml encoding="text/html"><mi>a</mi></annotation-xml>'),
          text('<mi>&lt;img src=x&gt;</mi>'),
          text('<mi>a'),
          text('<mrow>'.repeat(5000) + '</mrow>'.repeat(5000)),
        ]; }"""
    )
    assert "onclick" not in made[0]
    assert "href" not in made[0]
    assert "style" not in made[0]
    assert 'mathvariant="normal"' in made[0]
    assert "\u2062" in made[0]
    assert "<mo>(</mo><mi>a</mi><mo>,</mo><mi>b</mi><mo>)</mo>" in made[1]
    assert made[2:6] == [None] * 4
    assert "&lt;img src=x&gt;" in made[6]
    assert made[7:] == [None, None]
    assert page.tab.evaluate("typeof hacked") == "undefined"
    assert all("policy" in complaint.lower() for complaint in page.complaints)
    page.complaints.clear()  # the browser's, of the onclick that it was given to parse


def test_the_token_is_asked_for_and_the_work_goes_on(browser, address, opened):
    page = opened(signed_in=False)
    tab = page.go("#/datasets")
    tab.get_by_label("Token", exact=True).fill("wrong")
    tab.keyboard.press("Enter")
    tab.get_by_role("alert").wait_for()
    token = re.search(r"token=([^&\s]+)", address).group(1)
    tab.get_by_label("Token", exact=True).fill(token)
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="Tables").wait_for()
    tab.get_by_label("Token", exact=True).wait_for(state="detached")
    assert tab.evaluate("document.cookie") == ""


# ---- keys, phones, dark ------------------------------------------------------------------------------------------------------


def test_everything_goes_by_keyboard(opened):
    page = opened()
    tab = page.tab
    press_until(tab, "Tab", "summary")
    tab.keyboard.press("Enter")
    press_until(tab, "Tab", "input:not([type=file])")
    tab.keyboard.type("keys")
    press_until(tab, "Tab", "textarea")
    tab.keyboard.insert_text("m,v,e\n" + "".join(f"{m},{v},{m * v}\n" for m in range(1, 5) for v in range(2, 5)))
    press_until(tab, "Tab", "form button")
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="Table keys").wait_for()
    tab.get_by_role("heading", name="The table", exact=True).wait_for()
    assert tab.evaluate("document.activeElement.tagName") == "H1"
    press_until(tab, "Tab", "form button.primary")
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="The formula").wait_for(timeout=FIT_LIMIT)
    spoken = tab.locator("[aria-live=polite]", has_text="The formula: e = ")
    spoken.wait_for(state="attached")
    press_until(tab, "Tab", "form.row input")
    tab.keyboard.type("BY_KEYS")
    tab.keyboard.press("Enter")
    tab.get_by_text("Kept as").wait_for()

    page.go("#/library")
    tab.locator("[data-function=BY_KEYS]").wait_for()
    press_until(tab, "Tab", ".node")
    seen = {tab.evaluate("document.activeElement.dataset.function")}
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowRight", "ArrowUp"):
        tab.keyboard.press(key)
        seen.add(tab.evaluate("document.activeElement.dataset.function"))
    assert len(seen) >= 3
    assert tab.locator(".node[tabindex='0']").count() == 1
    tab.locator("[data-function=BY_KEYS]").focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="BY_KEYS").wait_for()
    tab.get_by_role("heading", name="Try it on numbers").wait_for()
    press_until(tab, "Tab", ".panel .danger")
    tab.keyboard.press("Enter")
    focused = "(text) => document.activeElement.textContent === text"
    tab.wait_for_function(focused, arg="No, keep")
    tab.keyboard.press("Escape")
    tab.wait_for_function(focused, arg="Delete this function")
    tab.keyboard.press("Enter")
    tab.wait_for_function(focused, arg="No, keep")
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Enter")
    tab.locator("[data-function=BY_KEYS]").wait_for(state="detached")
    assert tab.url.endswith("#/library")


def finished_fit(page: Page, name: str) -> str:
    rows = "x,y" + "".join(f"\n{i},{0.5 * i * i}" for i in range(1, 20))
    job = page.api("POST", "/fit?wait=true", data={"dataset_name": page.upload(name, rows), "max_time": 10})
    return job["id"]


def test_nothing_is_wider_than_a_phone(opened):
    page = opened(viewport=PHONE, has_touch=True)
    job = finished_fit(page, "a table with a rather long name, as tables have them_that_do_not_break")
    page.upload(
        "wide", ",".join(f"a_column_of_a_long_name_{i}" for i in range(20)) + "\n" + "\n".join([",".join(["1.25"] * 20)] * 5)
    )
    for route, there in [
        ("#/new", "Drop a CSV file here"),
        ("#/new?dataset=wide", "Find a formula"),
        ("#/new?dataset=wide&task=train", "Learn it"),
        (f"#/jobs/{job}", "How it fits"),
        ("#/library", "Primitives"),
        ("#/functions/MUL", "Try it on numbers"),
        ("#/datasets", "Add a table"),
        ("#/history", "rather long name"),
    ]:
        tab = page.go(route)
        tab.get_by_text(there).first.wait_for()
        for summary in tab.locator("summary").all():
            summary.click()
        assert page.overflow() <= 0, route


def test_dark_is_dark_and_both_can_be_read(opened):
    grounds = {}
    for scheme in ("light", "dark"):
        page = opened(color_scheme=scheme, reduced_motion="reduce")
        job = finished_fit(page, f"seen in {scheme}")
        for route, there in [
            ("#/new", "Drop a CSV file here"),
            (f"#/new?dataset={quote(f'seen in {scheme}')}", "More: complexity"),
            (f"#/jobs/{job}", "How it fits"),
            ("#/functions/MUL", "Try it on numbers"),
            ("#/datasets", "Add a table"),
            ("#/history", f"seen in {scheme}"),
        ]:
            tab = page.go(route)
            tab.get_by_text(there).first.wait_for()
            for summary in tab.locator("summary").all():
                summary.click()
            for colour, ground, element in tab.evaluate(COLOURS):
                high, low = sorted((luminance(colour), luminance(ground)), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, route, colour, ground, element)
        grounds[scheme] = luminance(tab.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
        assert tab.evaluate("getComputedStyle(document.querySelector('nav a')).transitionDuration") == "0s"
    assert grounds["dark"] < 0.05 < 0.8 < grounds["light"]


# ---- tables and places ------------------------------------------------------------------------------------------------------


def test_a_table_is_deleted_only_after_a_question(opened):
    page = opened()
    page.upload("short lived", "x,y\n1,2\n2,3\n3,4")
    tab = page.go("#/datasets")
    tab.get_by_label("Delete the table short lived").click()
    tab.get_by_role("button", name="No, keep").click()
    tab.get_by_label("Delete the table short lived").click()
    tab.get_by_role("button", name="Delete", exact=True).click()
    tab.get_by_role("link", name="short lived", exact=True).wait_for(state="detached")
    assert "short lived" not in [d["name"] for d in page.api("GET", "/datasets")["datasets"]]


def test_a_table_in_use_is_not_deleted_and_why_is_said(opened):
    page = opened()
    job = start_long_search(page, "in use")
    tab = page.go("#/datasets")
    tab.get_by_label("Delete the table in use").click()
    tab.get_by_role("button", name="Delete", exact=True).click()
    told = tab.get_by_role("listitem").filter(has_text="in use").get_by_role("alert")
    told.wait_for()
    assert "job" in told.inner_text()
    page.api("DELETE", f"/jobs/{job}")


def test_addresses_that_lead_nowhere_say_so(opened):
    page = opened()
    for route in ("#/jobs/there-is-no-such-job", "#/functions/NO_SUCH_FUNCTION", "#/new?dataset=no%20such%20table"):
        tab = page.go(route)
        tab.get_by_role("alert").wait_for()
    tab = page.go("#/nowhere")
    tab.get_by_role("link", name="Start from a table").click()
    tab.get_by_text("Drop a CSV file here").wait_for()


def test_the_library_goes_out_is_reset_and_comes_in_again(opened, tmp_path):
    page = opened()
    job = finished_fit(page, "to be kept")
    page.api("POST", f"/jobs/{job}/keep", data={"name": "HALF_SQUARE"})
    tab = page.go("#/library")
    tab.locator("[data-function=HALF_SQUARE]").wait_for()
    tab.get_by_text("The whole library").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Export as JSON").click()
    exported = tmp_path / "library.json"
    download.value.save_as(exported)
    tab.get_by_role("button", name="Reset the library").click()
    tab.get_by_role("button", name="Reset", exact=True).click()
    tab.get_by_text("Nothing was learned yet").wait_for()
    assert tab.locator("[data-function=HALF_SQUARE]").count() == 0
    tab.get_by_label("Import functions").set_input_files(exported)
    tab.get_by_role("heading", name="Import").wait_for()
    tab.locator("h1 .state-done").wait_for()
    tab.get_by_role("link", name="See the library").click()
    tab.locator("[data-function=HALF_SQUARE]").wait_for()


def test_the_library_is_asked_about_a_table(opened):
    page = opened()
    rows = "".join(f"\n{a},{b},{a + b}" for a in range(1, 5) for b in range(5, 8))
    tab = page.go(f"#/new?dataset={page.upload('sums', 'a,b,y' + rows)}&task=eval")
    tab.locator("form").get_by_role("button", name="Ask the library").click()
    tab.get_by_role("heading", name="Explained").wait_for()
    assert tab.get_by_role("link", name="ADD", exact=True).count() >= 1


def test_the_page_is_whole_without_the_rest_of_the_world(opened):
    page = opened()
    asked: list[str] = []
    page.tab.on("request", lambda request: asked.append(request.url))
    for route in ("#/new", "#/library", "#/history"):
        page.go(route)
        page.tab.reload()
        page.tab.locator("h1").wait_for()
    assert asked
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {urlsplit(page.base).netloc}
    answer = page.context.request.get(f"{page.base}/", headers={"Accept": "text/html"})
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert json.loads(page.context.request.get(f"{page.base}/", headers={"Accept": "application/json"}).text())["version"]

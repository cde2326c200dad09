"""The main pages in made-up languages with long texts, in narrow frames and with large letters.

They are written from the left and from the right. Nothing scrolls sideways, and no text is cut off: neither
by its box nor by the edge of the page.
"""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select
from werkzeug.serving import make_server

from rmplugin.credits.models import Delivery
from rmplugin.jobs import work_outbox
from rmplugin.texts import Text
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.factories.credits import confirm_session, make_pair
from tests.factories.pseudo import LANGUAGES, make_main_pages, write_catalogues

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(200),
    pytest.mark.enable_socket,
]

# 320 px are what 1280 px become at 400 %; letters of 200 % are what somebody sets who enlarges text alone.
FRAMES = {"narrow": (320, "100%"), "zoomed": (640, "100%"), "large letters": (1280, "200%")}
# Text that cannot be read: boxes hide it, controls are too small, the page ends, or a box to tick lies on it.
CUT_OFF = """() => {
    const wide = document.documentElement.clientWidth;
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
        const style = getComputedStyle(element), box = element.getBoundingClientRect();
        // What is hidden from the eye on purpose is a pixel large; drawings have no text of their own.
        if (box.width <= 1 || box.height <= 1 || element.closest("svg") || !element.innerText) continue;
        const hides = way => ["hidden", "clip"].includes(way);
        const control = element.matches("button, .btn, .rm-badge, th, td, label");
        const tooWide = element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0;
        const tooHigh = element.scrollHeight > element.clientHeight + 1 && element.clientHeight > 0;
        if (tooWide && (hides(style.overflowX) || control) || tooHigh && hides(style.overflowY)
            || box.left < -1 || box.right > wide + 1) found.push(element.outerHTML.slice(0, 160));
    }
    for (const box of document.querySelectorAll("[type=radio], [type=checkbox]")) {
        const own = box.getBoundingClientRect(), text = document.createRange();
        for (const label of box.labels) {
            text.selectNodeContents(label);
            for (const line of text.getClientRects())
                if (own.width && line.left < own.right - 1 && line.right > own.left + 1
                    && line.top < own.bottom - 1 && line.bottom > own.top + 1) {
                    found.push(`under its box: ${label.outerHTML.slice(0, 160)}`);
                    break;
                }
        }
    }
    return found;
}"""


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory):
    return write_catalogues(tmp_path_factory.mktemp("translations"))


@pytest.fixture
def main_pages(app, runtime, tenant, catalogues):
    return make_main_pages(app, runtime, tenant, catalogues)


@pytest.fixture
def address(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def faults_of(page, width: int, size: str) -> list[str]:
    """Name what does not fit on the page that is open."""
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("size => { document.documentElement.style.fontSize = size; }", size)
    wide = page.evaluate("document.documentElement.scrollWidth")
    return [f"{wide} px at {width} px"] * (wide > width) + page.evaluate(CUT_OFF)


@pytest.mark.parametrize("language", LANGUAGES)
def test_main_pages_when_texts_are_long_fit_narrow_frames_and_large_letters(
    playwright, address, main_pages, language
):
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    faults = {}
    for who, paths in main_pages.paths.items():
        headers = {"X-Rm-Session": main_pages.browsers[who].token, "Accept-Language": language}
        page = chromium.new_context(extra_http_headers=headers).new_page()
        for path in paths:
            assert page.goto(address + path).status == 200
            assert page.evaluate("document.dir") == LANGUAGES[language]
            for name, (width, size) in FRAMES.items():
                if found := faults_of(page, width, size):
                    faults[path, name] = found
    chromium.close()
    assert faults == {}


def test_course_records_in_german_fit_a_tablet_and_give_words_room(
    playwright, address, runtime, tenant, clock, sign_in
):
    with runtime.database.transaction(tenant.id) as db:
        pair = make_pair(db, clock.now)
        confirm_session(db, pair, clock.now)
    work_outbox(runtime)
    with runtime.database.transaction(tenant.id) as db:
        for row in db.scalars(select(Delivery)):
            row.state, row.next_at = "retry", clock.now + timedelta(hours=1)
            row.last_error = Text(
                "The other system does not answer at the moment. It is tried again by itself."
            )
    manager = sign_in(tenant, manager=True)
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    headers = {"X-Rm-Session": manager.token, "Accept-Language": "de"}
    page = chromium.new_context(extra_http_headers=headers).new_page()
    assert page.goto(f"{address}/programmes/{pair.programme.id}/deliveries").status == 200
    assert "Wird erneut versucht" in page.inner_text("main")
    faults = {width: faults_of(page, width, "100%") for width in (1168, 900, 800, 700, 650)}
    page.set_viewport_size({"width": 1168, "height": 800})
    told = page.locator("th.rm-told").bounding_box()["width"]
    chromium.close()
    assert not any(faults.values()), faults
    assert told > 160


def test_rule_when_something_does_not_fit_finds_it(playwright):
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    page = chromium.new_page()
    for style in ("width: 40px; overflow: hidden", "height: 8px; overflow-y: clip", "margin-left: -30px"):
        page.set_content(f'<p style="white-space: nowrap; {style}">More than fits in here</p>')
        assert len(faults_of(page, 320, "100%")) == 1, style
    page.set_content('<p style="width: 700px">Wide</p>')
    assert faults_of(page, 320, "100%")[0] == "708 px at 320 px"
    box = (
        '<input type="checkbox" id="x" style="position: absolute; left: 9px"><label for="x">Under it</label>'
    )
    page.set_content(box)
    assert len(faults_of(page, 320, "100%")) == 1
    page.set_content("<p>It fits</p>")
    assert faults_of(page, 320, "100%") == []
    chromium.close()

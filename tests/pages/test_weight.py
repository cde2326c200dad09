"""What somebody opens first is light: markup, styles and scripts together, as they go over the wire."""

import gzip
import re

import pytest

from tests.factories.pairs import make_pair
from tests.factories.programmes import make_context

MOST_BYTES = 150_000
FILE = re.compile(r'<(?:link rel="stylesheet" href|script src)="(/assets/[^"]+)"')


@pytest.fixture
def pages(sign_in, runtime, tenant) -> list[str]:
    pair = make_pair(runtime, tenant)
    pair.hold()
    with pair.transaction() as db:
        context = make_context(db)
        db.merge(pair.programme).context_id = context.id
    home = sign_in(tenant, pair.mentor, context=context).get("/home")
    desk = sign_in(tenant, manager=True, context=context).get("/manage")
    assert (home.status, desk.status) == (200, 200)
    return [home.text, desk.text]


def test_first_load_as_it_is_sent_weighs_at_most_150_kb(app, pages):
    client = app.test_client()
    for page in pages:
        files = FILE.findall(page)
        assert len(files) == page.count("/assets/") >= 4
        sent = [client.get(path, headers={"Accept-Encoding": "gzip, br"}).data for path in files]
        # Pages themselves are sent as they are: they hold the session.
        assert len(page.encode()) + sum(map(len, sent)) <= MOST_BYTES


def test_asset_when_the_browser_unpacks_is_sent_packed_and_says_the_same(app, pages):
    client = app.test_client()
    for path in FILE.findall(pages[0]):
        plain = client.get(path)
        said = plain.data
        plain.close()
        packed = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == said
        assert len(packed.data) < len(said) / 2
        for answer in (plain, packed):
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert "max-age=31536000" in answer.headers["Cache-Control"]
            assert answer.mimetype == ("text/css" if ".css" in path else "text/javascript")


def test_page_with_a_session_when_the_browser_unpacks_is_not_packed(sign_in, tenant):
    browser = sign_in(tenant, manager=True)
    answer = browser.client.get("/manage", headers={"X-Rm-Session": browser.token, "Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers

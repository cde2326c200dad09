"""The certification guide's cases: one marker names the case, what is sent, and the answer that is asserted.

docs/lti.md is written from the same markers, so that table and tests cannot differ.
"""

import re
from functools import partial

import pytest

from lti import claims as names
from tests.factories.browser import Browser
from tests.factories.launches import TARGET, TOOL, Launcher
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR

# What an accepted launch shows: the first page's title, and whether the way to the manager's desk is there.
VIEWS = {
    "manager": ("the programme manager's desk", "Programme desk", True),
    "participant": ("the participant's home", "Reverse mentoring", False),
    "stranger": ("a page for somebody whom the staff list does not know", "We could not find you", False),
    "picker": ("the choice of links for the course", "Add reverse mentoring", False),
}
MENDERS = re.compile(r"administrator|who run the|your course|browser|new tab|again", re.IGNORECASE)
NAMES = ("name", "given_name", "family_name")
PERSON = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"
DEEP_LINKING = {
    CLAIM + "message_type": "LtiDeepLinkingRequest",
    CLAIM + "roles": [INSTRUCTOR],
    names.DEEP_LINKING_SETTINGS: {
        "deep_link_return_url": "https://moodle.example/return?sesskey=secret",
        "accept_types": ["link", "ltiResourceLink"],
        "accept_presentation_document_targets": ["iframe", "window"],
        "accept_lineitem": True,
        "accept_multiple": True,
        "data": "csrf=1&echo=\u00e9",
    },
}


def token_in(page):
    """Give the session token that a page carries; "" for a page without a session."""
    found = re.search(r'X-Rm-Session": "([0-9a-f]+)"', page)
    return found.group(1) if found else ""


def cases(suite: str):
    """Return the decorator of one suite: `case(name, sent=…)` with code and status, or the view shown."""
    return partial(_case, suite)


def _case(suite, name, *, sent, code="ok", status=200, shows=None):
    return pytest.mark.conformance(suite=suite, case=name, sent=sent, code=code, status=status, shows=shows)


class Suite(Launcher):
    """The suite's platform: launches the whole application and holds its answer against the test's marker."""

    def __init__(self, app, platform, case, log, registration) -> None:
        super().__init__(app, platform)
        self.case, self.log, self.registration = case, log, registration
        self.sent, self.id_token = {}, ""
        self.asserted = False

    def post(self, client, query, *, sign=None, remove=(), **changes):
        """Post a message; `sign` makes the id_token out of the claims."""
        claims = self.platform.claims(query, **{TARGET: TOOL + "/lti/launch", **changes})
        self.sent = {name: value for name, value in claims.items() if name not in remove}
        self.id_token = (sign or self.platform.id_token)(self.sent)
        return self.send(client, {"state": query["state"], "id_token": self.id_token})

    def send(self, client, form):
        answer = client.post("/lti/launch", data=form, base_url=TOOL)
        return client.get(answer.location, base_url=TOOL) if answer.status_code == 303 else answer

    def log_in(self, **changes):
        """Send a login request only."""
        request = self.platform.login_request(TOOL + "/lti/launch", **changes)
        return self.app.test_client().get("/lti/login", query_string=request, base_url=TOOL)

    def choose(self, page):
        """Go through the forms of a page until one carries the signed answer; return the answer as it is."""
        browser = Browser(self.app.test_client(), token_in(page))
        browser.text, browser.path = page, "/lti/launch"
        for _ in range(3):
            answers = [form for form in browser.forms() if "JWT" in form["fields"]]
            if answers:
                return answers[0]["action"], answers[0]["fields"]["JWT"][0]
            browser.submit("/")
        raise AssertionError(f"no form carries an answer: {browser.says()}")

    def lines(self):
        return [line for line in self.log if str(line["event"]).startswith("lti.")]

    def forget(self):
        """Forget the log of launches that only led up to the case."""
        self.log.clear()

    def expect(self, answer, *, read=True, known=True):
        """Hold an answer against the marker: status, code, page, one line of log.

        :param read: whether the message was read before it was refused, so that its claims' names are logged
        :param known: whether the registration was known by then
        :return: the page's words and the line
        """
        self.asserted = True
        page = answer.get_data(as_text=True)
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
        (line,) = self.lines()
        assert (line["code"], answer.status_code) == (self.case["code"], self.case["status"]), words
        assert len(line["reference"]) >= 8
        assert (self.registration in str(line)) == known
        assert set(line["claims"]) == (set(self.sent) if read else set())
        self.check_privacy(str(line))
        assert page.count("<h1") == 1
        assert "Traceback" not in page
        if self.case["shows"]:
            _, title, manages = VIEWS[self.case["shows"]]
            assert re.search(r"<h1[^>]*>\s*" + title, page), words
            assert ('href="/manage"' in page) == manages
        else:
            assert MENDERS.search(words), words
            assert "X-Rm-Session" not in page
            assert answer.status_code < 400 or line["reference"] in words
        return words, line

    def check_privacy(self, line):
        """No token, name, address or id of a person is in the log."""
        secrets = [*(part for part in self.id_token.split(".") if len(part) > 20), "sesskey"]
        people = ("Ada", "Byron", "company.example", "E-1001")
        assert [word for word in (*secrets, *people) if word in line] == []

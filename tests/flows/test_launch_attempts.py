"""Every launch ends with one line of log; what is kept of it says nothing about a person."""

import contextlib
import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from lti import claims as names
from lti.routes import AttemptInfo
from rmplugin.logins import WebSession
from rmplugin.tenants.models import LaunchAttempt, LtiPlatform
from rmplugin.tenants.operations import ATTEMPTS_KEPT, record_attempt
from rmplugin.tenants.queries import KEPT_A_MINUTE, explain_attempt
from rmplugin.tenants.tasks import tidy
from tests.factories.launches import CUSTOM, MESSAGE, ROLES, TARGET, TOOL, hire
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR, sign

PEOPLE = ("Ada", "Byron", "company.example", "E-1001", "sesskey")
DEEP = {
    MESSAGE: "LtiDeepLinkingRequest",
    names.DEEP_LINKING_SETTINGS: {
        "deep_link_return_url": "https://moodle.example/return?sesskey=x",
        "accept_types": ["ltiResourceLink"],
        "accept_presentation_document_targets": ["iframe"],
    },
}


@pytest.fixture
def log():
    with capture_logs() as lines:
        yield lines


def lines_of(log):
    return [line for line in log if line["event"] == "lti.launch"]


def attempts(database) -> list[LaunchAttempt]:
    with database.transaction(None, write=False) as db:
        return list(db.scalars(select(LaunchAttempt).order_by(LaunchAttempt.id)))


def refused(lms, **changes):
    client = lms.app.test_client()
    return lms.post(client, lms.begin(client), **changes)


def launched_anonymously(lms):
    client = lms.app.test_client()
    return lms.post(client, lms.begin(client), sub=None)


def posted_twice(lms):
    client = lms.app.test_client()
    query = lms.begin(client)
    lms.post(client, query)
    return lms.post(client, query)


def posted_by_another_browser(lms):
    return lms.post(lms.app.test_client(), lms.begin(lms.app.test_client()))


def posted_too_much(lms):
    return lms.app.test_client().post("/lti/launch", data={"id_token": "x" * 3_000_000}, base_url=TOOL)


def of_another_deployment(lms):
    client = lms.app.test_client()
    return lms.post(client, lms.begin(client), **{CLAIM + "deployment_id": "99"})


def of_another_learners_work(lms):
    person = {"user_id": "9"}
    changes = {MESSAGE: "LtiSubmissionReviewRequest", CLAIM + "for_user": person}
    return refused(
        lms, **changes, **{names.AGS_ENDPOINT: {"lineitem": "https://x.example/1", "scope": ["s"]}}
    )


WAYS = {
    "state_unknown": posted_twice,
    "state_mismatch": posted_by_another_browser,
    "request_unreadable": posted_too_much,
    "user_missing": launched_anonymously,
    "deployment_pending": of_another_deployment,
    "review_not_allowed": of_another_learners_work,
    "role_not_allowed": lambda lms: refused(lms, **DEEP),
    "audience_invalid": lambda lms: refused(lms, aud="other"),
    "target_link_uri_foreign": lambda lms: refused(lms, **{TARGET: "https://evil.example/"}),
    "token_expired": lambda lms: refused(lms, exp=22222, iat=11111),
}


@pytest.mark.parametrize("code", sorted(WAYS))
def test_launch_when_refused_ends_with_one_line_one_row_and_the_same_reference(lms, database, log, code):
    page = WAYS[code](lms).get_data(as_text=True)
    *before, line = lines_of(log)
    assert line["code"] == code
    assert [earlier["code"] for earlier in before] == (["ok"] if code == "state_unknown" else [])
    row = next(row for row in attempts(database) if row.code == code)
    assert (row.reference, row.stage) == (line["reference"], "launch")
    if code != "state_mismatch":
        assert line["reference"] in page
    found = [word for word in PEOPLE if word in json.dumps([row.claims, row.details]) or word in str(line)]
    assert found == []
    assert len(explain_attempt(row)) == 1


@pytest.mark.parametrize("answer", ["page", "picker"])
def test_launch_when_it_leads_to_a_page_ends_with_one_line_code_ok(lms, log, answer):
    lms.launch(**({**DEEP, ROLES: [INSTRUCTOR]} if answer == "picker" else {}))
    (line,) = lines_of(log)
    assert line["code"] == "ok"
    assert len(line["reference"]) == 8
    assert "sub" in line["claims"]


@contextlib.contextmanager
def without_tables(database, *tables):
    """Take tables away, as a database would lack them that is half restored."""
    for table in tables:
        with database.transaction(None) as db:
            db.execute(text(f"ALTER TABLE {table} RENAME TO {table}_away"))
    try:
        yield
    finally:
        for table in tables:
            with database.transaction(None) as db:
                db.execute(text(f"ALTER TABLE {table}_away RENAME TO {table}"))


def test_launch_when_our_side_fails_is_one_line_fault_with_the_reference_of_the_page(lms, database, log):
    with without_tables(database, "course_member"):
        answer = lms.launch()
    assert answer.status_code == 500
    (line,) = lines_of(log)
    assert (line["code"], line["log_level"]) == ("fault", "error")
    assert line["detail_kind"] in ("OperationalError", "ProgrammingError")
    assert ".py:" in line["detail_where"]
    assert line["reference"] in answer.get_data(as_text=True)
    assert [word for word in PEOPLE if word in str(log)] == []
    (row,) = attempts(database)
    assert (row.code, row.reference) == ("fault", line["reference"])
    with database.transaction(None, write=False) as db:
        assert db.scalar(select(func.count(WebSession.id))) == 0


@pytest.mark.parametrize(
    ("tables", "code", "status"),
    [(["launch_attempt"], "audience_invalid", 403), (["launch_attempt", "lti_login"], "fault", 500)],
)
def test_refusal_when_it_cannot_be_kept_is_the_page_all_the_same(lms, database, log, tables, code, status):
    client = lms.app.test_client()
    query = lms.begin(client)
    with without_tables(database, *tables):
        answer = lms.post(client, query, aud="other")
    (line,) = lines_of(log)
    assert (line["code"], answer.status_code) == (code, status)
    assert line["reference"] in answer.get_data(as_text=True)
    assert [entry["reference"] for entry in log if entry["event"] == "attempt_not_kept"] == [
        line["reference"]
    ]


def test_launch_when_taken_in_is_kept_once_and_repetitions_cost_no_row(lms, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="E-1001")
    for _ in range(3):
        lms.launch()
        clock.forward(minutes=1)
    (row,) = attempts(database)
    assert (row.code, row.tenant_id) == ("ok", tenant.id)
    assert row.details == {"kid": "Kid-App", "identity": "custom"}
    assert row.claims[CLAIM + "roles"] == ["http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"]
    assert explain_attempt(row) == []


def test_launch_when_nobody_is_recognised_says_why_among_its_hints(lms, database):
    lms.launch(**{CUSTOM: {"emp": "$Person.sourcedId"}, "email": None})
    (row,) = attempts(database)
    why, parameter = explain_attempt(row)
    assert "custom parameter such as employee_number" in why
    assert "emp came unsubstituted" in parameter


def test_attempt_when_the_key_is_unknown_belongs_to_the_registration_and_names_the_key(
    lms, database, registration, platform
):
    client = lms.app.test_client()
    query = lms.begin(client)
    body = platform.claims(query, **{TARGET: TOOL + "/lti/launch"})
    token = sign(body, platform.keys[0], {"alg": "RS256", "kid": "rotated"})
    client.post("/lti/launch", data={"state": query["state"], "id_token": token}, base_url=TOOL)
    (row,) = attempts(database)
    assert (row.platform_id, row.tenant_id) == (registration.id, registration.tenant_id)
    assert row.details["kid"] == "rotated"
    assert row.details["alg"] == "RS256"


def test_login_when_refused_is_kept_as_nobodys_with_its_parameters(lms, database, platform):
    request = platform.login_request(TOOL + "/lti/launch", iss="https://moodle.example/", login_hint="ada")
    lms.app.test_client().get("/lti/login", query_string=request, base_url=TOOL)
    (row,) = attempts(database)
    assert (row.tenant_id, row.platform_id, row.stage) == (None, None, "login")
    assert row.claims["iss"] == "https://moodle.example/"
    assert row.claims["login_hint"] == "text, 3 characters"
    assert "trailing slash" in explain_attempt(row)[0]


def test_attempts_when_garbage_comes_in_floods_are_kept_in_a_small_number_a_minute(lms, database, clock, log):
    for number in range(KEPT_A_MINUTE[False] + 5):
        lms.app.test_client().post("/lti/launch", data={"state": f"{number}", "id_token": "x"}, base_url=TOOL)
    assert len(attempts(database)) == KEPT_A_MINUTE[False]
    assert len(lines_of(log)) == KEPT_A_MINUTE[False] + 5
    # Another reason has a number of its own, a real registration too, and the next minute another one.
    refused(lms, aud="other")
    clock.forward(minutes=1, seconds=1)
    lms.app.test_client().post("/lti/launch", data={"state": "1", "id_token": "x"}, base_url=TOOL)
    assert len(attempts(database)) == KEPT_A_MINUTE[False] + 2


def test_attempts_when_one_reason_floods_a_registration_still_keep_the_others(lms, database):
    for _ in range(KEPT_A_MINUTE[True] + 5):
        refused(lms, aud="other")
    refused(lms, exp=22222, iat=11111)
    kept = [row.code for row in attempts(database)]
    assert (kept.count("audience_invalid"), kept.count("token_expired")) == (KEPT_A_MINUTE[True], 1)


def test_attempts_when_a_teacher_picks_or_nobody_is_named_are_kept_as_accepted(lms, database):
    with database.unbound() as db:
        db.scalars(select(LtiPlatform)).one().allow_anonymous = True
    assert refused(lms, **{ROLES: [INSTRUCTOR], **DEEP}).status_code == 200
    assert launched_anonymously(lms).status_code == 303
    assert [row.code for row in attempts(database)] == ["ok", "ok"]


def keep(database, tenant_id, at, reference):
    info = AttemptInfo(reference, "launch", at, None, (), "state_unknown", {}, {})
    with database.transaction(None) as db:
        record_attempt(db, tenant_id, None, info)


def test_attempts_when_tidied_are_no_older_than_fourteen_days(runtime, database, tenant, clock):
    keep(database, tenant.id, clock.now - timedelta(days=14, seconds=1), "OLD")
    keep(database, tenant.id, clock.now - timedelta(days=13), "YOUNG")
    tidy(runtime)
    assert [row.reference for row in attempts(database)] == ["YOUNG"]


def test_attempts_when_very_many_lose_the_oldest_of_that_tenant_only(
    runtime, database, tenant, other_tenant, clock, monkeypatch
):
    monkeypatch.setattr("rmplugin.tenants.operations.ATTEMPTS_KEPT", (1, 2))
    assert ATTEMPTS_KEPT[True] > ATTEMPTS_KEPT[False]
    for number in range(4):
        for owner in (None, tenant.id):
            keep(database, owner, clock.now - timedelta(minutes=number), f"{owner and 'mine'}{number}")
    keep(database, other_tenant.id, clock.now - timedelta(days=1), "other")
    tidy(runtime)
    kept = {row.reference for row in attempts(database)}
    assert kept == {"None0", "mine0", "mine1", "other"}


def test_reopen_page_when_the_same_launch_is_posted_again_is_friendly(lms):
    page = posted_twice(lms).get_data(as_text=True)
    assert "<h1>Please open the activity again from your course</h1>" in page
    assert "Nothing was lost" in page

"""A copied course: its manager is offered the original's programme once."""

import pytest
from sqlalchemy import select

from rmplugin.audit import AuditEntry
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill
from rmplugin.programmes.operations import create_programme
from rmplugin.tenants.models import LtiContext, LtiResourceLink
from tests.factories.browser import Browser
from tests.factories.launches import CONTEXT, CUSTOM, ROLES, token_of
from tests.factories.rows import read_rows
from tests.fakes.lti_platform import INSTRUCTOR, LEARNER


@pytest.fixture
def original(lms, database, tenant, clock):
    """Give the programme of course 3, with a person's worth of settings of its own."""
    lms.launch(**{ROLES: [INSTRUCTOR]})
    with database.transaction(tenant.id) as db:
        course = db.scalars(select(LtiContext)).one()
        values = {"name": "Leaders learn", "min_sessions": "7"}
        return create_programme(db, "digital_fluency", values, "command", clock.now, course.id)


def launch(lms, history, role=INSTRUCTOR, course="4", **custom) -> Browser:
    claims = {CONTEXT: {"id": course, "title": "Copy"}, ROLES: [role]}
    page = lms.launch(**claims, **{CUSTOM: {"context_id_history": history, **custom}})
    browser = Browser(lms.app.test_client(), token_of(page.get_data(as_text=True)))
    browser.text = page.get_data(as_text=True)
    return browser


def test_copy_when_its_original_has_a_programme_offers_it(lms, original):
    assert "The original has the programme “Leaders learn”" in launch(lms, "9,3").says()


def test_copy_when_its_originals_programme_has_ended_offers_it_all_the_same(lms, original, database, tenant):
    with database.transaction(tenant.id) as db:
        db.merge(original).state = "archived"
    browser = launch(lms, "3")
    assert "The original has the programme “Leaders learn”" in browser.says()
    browser.submit("/programmes/copy/carry")
    (copy,) = [row for row in read_rows(database, tenant, Programme) if row.id != original.id]
    assert (copy.state, copy.min_sessions) == ("draft", 7)


@pytest.mark.parametrize("history", ["", "9", "$Context.id.history", "4", ",,", "x" * 300])
def test_course_when_its_history_names_no_original_offers_nothing(lms, original, history):
    assert "This course was copied" not in launch(lms, history).says()


def test_copy_when_taken_over_has_the_settings_in_a_draft_without_people(
    lms, original, database, tenant, clock
):
    browser = launch(lms, "3").submit("/programmes/copy/carry")
    assert "The settings are taken over" in browser.says()
    (copy,) = [row for row in read_rows(database, tenant, Programme) if row.id != original.id]
    assert (copy.name, copy.state, copy.min_sessions) == ("Leaders learn (2)", "draft", 7)
    assert (copy.starts_on, copy.ends_on - copy.starts_on) == (
        clock.now.date(),
        original.ends_on - original.starts_on,
    )
    skills = {}
    for row in read_rows(database, tenant, ProgrammeSkill):
        skills.setdefault(row.programme_id, set()).add(row.skill_id)
    assert skills[copy.id] == skills[original.id]
    assert read_rows(database, tenant, Enrolment) == []
    deeds = [row.action for row in read_rows(database, tenant, AuditEntry)]
    assert "course_copy.carried" in deeds


def test_copy_when_the_originals_name_is_as_long_as_can_be_has_settings_that_can_be_saved(
    lms, original, database, tenant
):
    with database.transaction(tenant.id) as db:
        db.merge(original).name = "L" * 120
    browser = launch(lms, "3").submit("/programmes/copy/carry").submit("/settings")
    assert browser.status == 200
    assert {row.name for row in read_rows(database, tenant, Programme)} == {"L" * 120, "L" * 116 + " (2)"}


def test_copy_when_started_afresh_is_never_asked_again(lms, original, database, tenant):
    browser = launch(lms, "3").submit("/programmes/copy/fresh")
    assert "You start afresh" in browser.says()
    assert "This course was copied" not in launch(lms, "3").says()
    assert len(read_rows(database, tenant, Programme)) == 1
    states = {row.context_id: row.copy_state for row in read_rows(database, tenant, LtiContext)}
    assert states == {"3": None, "4": "fresh"}


def test_copy_when_two_managers_decide_the_second_is_told(lms, original, database, tenant):
    first, second = launch(lms, "3"), launch(lms, "3")
    first.submit("/programmes/copy/carry")
    second.submit("/programmes/copy/fresh")
    assert second.status == 409
    assert len(read_rows(database, tenant, Programme)) == 2


def test_copy_when_a_learner_decides_is_refused(lms, original):
    assert launch(lms, "3", role=LEARNER).post("/programmes/copy/carry").status == 403


def test_copy_of_another_platforms_course_when_ids_are_equal_offers_nothing(
    lms, original, database, tenant, platform, clock
):
    with database.transaction(tenant.id) as db:
        course = db.get_one(LtiContext, original.context_id)
        course.platform_id = register_other(database, tenant, platform, clock, db)
    assert "This course was copied" not in launch(lms, "3").says()


def register_other(database, tenant, platform, clock, db):
    from rmplugin.tenants.operations import PlatformValues, add_platform

    values = PlatformValues(
        name="other",
        issuer="https://other.example",
        client_id="c",
        auth_url="https://other.example/a",
        token_url="https://other.example/t",
        jwks_url="https://other.example/j",
    )
    return add_platform(db, values, clock.now).id


def test_history_when_sent_is_recorded_for_course_and_link(lms, original, database, tenant):
    launch(lms, "9, 3,3,a%2Cb", resource_link_id_history="12,11")
    copied = next(row for row in read_rows(database, tenant, LtiContext) if row.context_id == "4")
    assert copied.history == ["9", "3", "a,b"]
    assert {tuple(row.history) for row in read_rows(database, tenant, LtiResourceLink)} == {(), ("12", "11")}
    # A launch that says nothing about it takes nothing away.
    launch(lms, "")
    copied = next(row for row in read_rows(database, tenant, LtiContext) if row.context_id == "4")
    assert copied.history == ["9", "3", "a,b"]

"""Who an LMS user is: the sources in order, two users who claim one person, what a manager decided."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from rmplugin.audit import AuditEntry
from rmplugin.errors import ConflictError
from rmplugin.people.identity import Candidate
from rmplugin.people.linking import link_by_hand, undo_link
from rmplugin.people.models import LtiUser, Person
from rmplugin.records import IDENTITY_SOURCES
from rmplugin.tenants.models import LtiPlatform
from tests.factories.identity import TEST_USER, join, link, see
from tests.factories.people import make_person
from tests.factories.programmes import make_context


@pytest.fixture
def course(database, tenant):
    with database.transaction(tenant.id) as db:
        context = make_context(db)
        return context, db.get_one(LtiPlatform, context.platform_id)


@pytest.fixture
def people(database, tenant):
    """Hire Ada (E-1, ada, ada@company.example) and Ben (E-2, ben, ben@company.example)."""
    with database.transaction(tenant.id) as db:
        return tuple(
            make_person(db, employee_number=number, user_name=name.upper(), email=f"{name}@company.example")
            for number, name in (("E-1", "ada"), ("E-2", "ben"))
        )


@pytest.fixture
def lms(database, tenant, course, clock):
    """Let the LMS speak: ``lms(see(…), …)`` gives (state, person, source, problem) by sub."""

    def say(*sightings):
        clock.forward(minutes=1)
        with database.transaction(tenant.id) as db:
            link(db, course[1], clock.now, *sightings)
        return states(database, tenant)

    return say


def states(database, tenant):
    with database.transaction(tenant.id, write=False) as db:
        return {
            user.sub: (user.link_state, user.person_id, user.link_source, user.link_problem)
            for user in db.scalars(select(LtiUser))
        }


def decide(database, tenant, verb, sub, *arguments):
    with database.transaction(tenant.id) as db:
        user = db.scalars(select(LtiUser).where(LtiUser.sub == sub)).one()
        if verb is link_by_hand:
            context_id, person = arguments[0], db.get_one(Person, arguments[1].id)
            link_by_hand(db, context_id, user, person, "lti_user:manager", arguments[2])
        else:
            undo_link(db, user, "lti_user:manager", arguments[0])


def audits(database, tenant):
    with database.transaction(tenant.id, write=False) as db:
        rows = db.scalars(select(AuditEntry).where(AuditEntry.action == "lti_user.link"))
        return [(row.actor.partition(":")[0], row.details["state"], row.subject_id) for row in rows]


@pytest.mark.parametrize("source", IDENTITY_SOURCES)
def test_user_when_one_source_alone_names_a_person_is_linked_by_it(lms, people, source):
    value = {"username": "ada", "email": "ada@company.example"}.get(source, "E-1")
    assert lms(see("1", **{source: value}))["1"] == ("confirmed", people[0].id, source, None)


def test_user_when_sources_disagree_is_whom_the_registrations_first_names(
    lms, people, database, tenant, course
):
    said = {"sourcedid": "E-1", "email": "ben@company.example"}
    assert lms(see("1", **said))["1"][1:3] == (people[0].id, "sourcedid")
    with database.transaction(tenant.id) as db:
        db.get_one(LtiPlatform, course[1].id).identity_sources = ["email", "sourcedid"]
        db.execute(delete(LtiUser))
    assert lms(see("1", **said))["1"][1:3] == (people[1].id, "email")


def test_user_when_the_better_source_is_unknown_to_hr_is_found_by_the_next(lms, people):
    assert lms(see("1", custom="E-99", email="ada@company.example"))["1"][1:3] == (people[0].id, "email")


def test_user_when_nothing_or_nothing_known_is_sent_says_why(lms, people):
    found = lms(see("1"), see("2", custom="E-99"), see("3", name="Given Family"))
    assert [found[sub][3] for sub in "123"] == ["no_hr_id", "no_match", "no_hr_id"]


def test_user_when_hired_again_is_the_record_that_is_at_work(lms, people, database, tenant):
    with database.transaction(tenant.id) as db:
        make_person(db, employee_number="E-1", status="terminated")
    assert lms(see("1", custom="E-1"))["1"][:2] == ("confirmed", people[0].id)


def test_user_when_two_at_work_fit_is_a_conflict_that_hr_can_end(lms, people, database, tenant):
    with database.transaction(tenant.id) as db:
        twin = make_person(db, employee_number="E-1")
    assert lms(see("1", custom="E-1"))["1"] == ("conflict", None, "custom", "conflict")
    assert lms(see("1"))["1"][0] == "conflict"
    with database.transaction(tenant.id) as db:
        db.get_one(Person, twin.id).employee_number = "E-3"
    assert lms(see("1", custom="E-1"))["1"][:2] == ("confirmed", people[0].id)


def test_second_user_when_the_first_is_linked_waits_and_the_first_stays(lms, people):
    lms(see("1", custom="E-1"))
    for _ in range(2):
        found = lms(see("2", sourcedid="E-1"), see("1", custom="E-1"))
        assert found["1"][:2] == ("confirmed", people[0].id)
        assert found["2"] == ("conflict", None, "sourcedid", "conflict")


def test_two_users_when_neither_was_linked_get_nobody_until_one_changes(lms, people):
    both = lms(see("1", custom="E-1"), see("2", custom="E-1"))
    assert {both[sub][0] for sub in "12"} == {"conflict"}
    assert lms(see("1", custom="E-1"))["1"][0] == "conflict"
    assert lms(see("2", custom="E-2"))["2"][:2] == ("confirmed", people[1].id)
    assert lms(see("1", custom="E-1"))["1"][:2] == ("confirmed", people[0].id)


def test_address_when_two_users_have_it_links_the_second_to_nobody(lms, people):
    lms(see("1", email="ada@company.example"))
    found = lms(see("2", email="Ada@company.example".casefold()), see("1", email="ada@company.example"))
    assert (found["1"][0], found["2"][0]) == ("confirmed", "conflict")
    # A mailbox that several share says nothing about the person who has it by right.
    assert lms(see("3", custom="E-2"))["3"][:2] == ("confirmed", people[1].id)


def test_link_when_a_roster_is_silent_or_weaker_stays(lms, people):
    lms(see("1", custom="E-1"))
    for said in ({}, {"email": "ben@company.example"}, {"username": "ben"}):
        assert lms(see("1", **said))["1"][:3] == ("confirmed", people[0].id, "custom")


def test_link_when_its_source_names_another_never_follows_but_waits_with_an_audit_row(
    lms, people, database, tenant
):
    lms(see("1", custom="E-1"))
    # However often it is said, by whatever way round.
    for said in ("E-2", "E-2", "E-77", "E-77", "E-2"):
        state, person_id, _source, problem = lms(see("1", custom=said))["1"]
        wanted = ("unlinked", "no_match") if said == "E-77" else ("conflict", "changed")
        assert (state, person_id, problem) == (wanted[0], None, wanted[1])
        assert lms(see("1"))["1"][0] == wanted[0]
    # The other person is free for the one whom the LMS has always called so.
    assert lms(see("2", custom="E-2"))["2"][:2] == ("confirmed", people[1].id)
    assert lms(see("1", custom="E-1"))["1"][:3] == ("confirmed", people[0].id, "custom")
    assert audits(database, tenant)[:2] == [
        ("lti_user", "confirmed", people[0].id),
        ("lti_user", "conflict", people[0].id),
    ]


def test_link_when_the_old_person_has_left_follows_to_the_new_one(lms, people, database, tenant):
    lms(see("1", custom="E-1"))
    with database.transaction(tenant.id) as db:
        db.get_one(Person, people[0].id).status = "terminated"
    assert lms(see("1", custom="E-2"))["1"][:2] == ("confirmed", people[1].id)


def test_person_when_two_users_claim_them_at_the_same_moment_is_one_of_them(
    database, tenant, course, people, clock
):
    claimed, done = threading.Event(), threading.Event()

    def come_second() -> None:
        claimed.wait(10)
        with database.transaction(tenant.id) as db:
            link(db, course[1], clock.now, see("2", custom="E-1"))
        done.set()

    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(come_second)
        with database.transaction(tenant.id) as db:
            link(db, course[1], clock.now, see("1", custom="E-1"))
            db.flush()
            claimed.set()
            # The other gets its chance, and must wait for this transaction all the same.
            done.wait(1)
        other.result(10)
    found = states(database, tenant)
    assert (found["1"][0], found["2"][0]) == ("confirmed", "conflict")


def test_user_when_two_numbers_name_two_people_is_neither(lms, people):
    both = see("1", custom="E-1")
    both = replace(both, candidates=(*both.candidates, Candidate("custom", "E-2")))
    assert lms(both)["1"][:2] == ("conflict", None)
    lms(see("2", custom="E-2"))
    # Who was linked before stays who they are.
    said = replace(both, sub="2")
    assert lms(said)["2"][:2] == ("confirmed", people[1].id)


@pytest.mark.parametrize("by_hand", [False, True])
def test_link_when_the_person_leaves_rests_and_comes_back_with_them(
    lms, people, database, tenant, course, clock, by_hand
):
    lms(see("1", custom="E-2" if by_hand else "E-1"))
    if by_hand:
        decide(database, tenant, link_by_hand, "1", course[0].id, people[0], clock.now)
    for status, state in (("terminated", "unlinked"), ("suspended", "unlinked"), ("active", "confirmed")):
        with database.transaction(tenant.id) as db:
            db.get_one(Person, people[0].id).status = status
        said = see("1", custom="E-2") if by_hand else see("1", custom="E-1")
        assert lms(said)["1"][0] == state
    assert lms(see("1"))["1"][1] == people[0].id


def test_decision_when_made_by_hand_holds_against_all_that_the_lms_says(
    lms, people, database, tenant, course, clock
):
    with database.transaction(tenant.id) as db:
        join(db, course[0], "1", clock.now)
    decide(database, tenant, link_by_hand, "1", course[0].id, people[0], clock.now)
    assert lms(see("1", custom="E-2", email="ben@company.example"))["1"][:3] == (
        "confirmed",
        people[0].id,
        "by_hand",
    )
    assert lms(see("2", custom="E-1"))["2"][0] == "conflict"
    decide(database, tenant, undo_link, "1", clock.now)
    assert lms(see("1", custom="E-1"))["1"] == ("revoked", None, None, "revoked")
    assert lms(see("2", custom="E-1"))["2"][:2] == ("confirmed", people[0].id)
    with pytest.raises(ConflictError):
        decide(database, tenant, undo_link, "1", clock.now)


def test_decision_when_the_person_is_held_moves_the_link_within_the_course_only(
    lms, people, database, tenant, course, clock
):
    lms(see("1", custom="E-1"), see("2"))
    with pytest.raises(ConflictError, match="not in this course"):
        decide(database, tenant, link_by_hand, "2", course[0].id, people[0], clock.now)
    with database.transaction(tenant.id) as db:
        db.execute(delete(LtiUser).where(LtiUser.sub == "1"))
        join(db, course[0], "1", clock.now, link_state="confirmed", person_id=people[0].id)
    decide(database, tenant, link_by_hand, "2", course[0].id, people[0], clock.now)
    found = lms(see("1", custom="E-1"), see("2"))
    assert (found["1"][0], found["2"][:2]) == ("revoked", ("confirmed", people[0].id))


def test_decision_when_the_person_is_not_at_work_is_refused(lms, people, database, tenant, course, clock):
    lms(see("1"))
    with database.transaction(tenant.id) as db:
        db.get_one(Person, people[0].id).status = "terminated"
    with pytest.raises(ConflictError, match="not at work"):
        decide(database, tenant, link_by_hand, "1", course[0].id, people[0], clock.now)


def test_test_user_when_it_sends_a_known_number_is_linked_to_nobody(lms, people, database, tenant):
    assert lms(see("1", roles=[TEST_USER, "Learner"], custom="E-1"))["1"] == ("unlinked", None, None, None)
    assert lms(see("2", custom="E-1"))["2"][0] == "confirmed"


NUMBERS, NAMES = (
    ("E-1", "E-2", "E-99", "$Person.sourcedId", "@X@a@X@", ""),
    ("ada", "ben", "nobody", "$User.id"),
)
ADDRESSES = ("ada@company.example", "ben@company.example", "nobody@company.example", "")
VALUES = st.fixed_dictionaries(
    {},
    optional={
        source: st.sampled_from({"username": NAMES, "email": ADDRESSES}.get(source, NUMBERS))
        for source in IDENTITY_SOURCES
    },
)
STORIES = st.lists(
    st.lists(st.tuples(st.sampled_from("123"), VALUES), min_size=1, max_size=3, unique_by=lambda s: s[0]),
    min_size=1,
    max_size=5,
)


@given(order=st.permutations(IDENTITY_SOURCES), story=STORIES)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_linking_whatever_the_lms_says_gives_each_person_to_one_user_and_takes_no_link_by_another(
    database, tenant, course, people, clock, order, story
):
    with database.transaction(tenant.id) as db:
        db.execute(delete(LtiUser))
        db.get_one(LtiPlatform, course[1].id).identity_sources = list(order)
    before: dict = {}
    for batch in story:
        sightings = [
            see(sub, **{source: values[source] for source in order if source in values})
            for sub, values in batch
        ]
        with database.transaction(tenant.id) as db:
            link(db, course[1], clock.now, *sightings)
        after = states(database, tenant)
        held = [found[1] for found in after.values() if found[1] is not None]
        assert len(held) == len(set(held))
        spoke = {sighting.sub for sighting in sightings}
        for sub, (state, person_id, _source, problem) in after.items():
            assert (state == "confirmed") == (person_id is not None) == (problem is None)
            # Nobody loses a person by what another says, and nobody changes who was not spoken of.
            holders = {other for other, found in before.items() if found[1] == person_id is not None}
            assert holders <= {sub} | spoke
            assert sub in spoke or after[sub] == before[sub]
        before = after


@given(order=st.permutations(IDENTITY_SOURCES), values=VALUES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_linking_when_one_user_speaks_follows_the_first_source_that_hr_knows(
    database, tenant, course, people, clock, order, values
):
    known = {"E-1": 0, "E-2": 1, "ada": 0, "ben": 1, ADDRESSES[0]: 0, ADDRESSES[1]: 1}
    with database.transaction(tenant.id) as db:
        db.execute(delete(LtiUser))
        db.get_one(LtiPlatform, course[1].id).identity_sources = list(order)
        said = see("1", **{source: values[source] for source in order if source in values})
        user = link(db, course[1], clock.now, said)["1"]
        first = next((c for c in said.candidates if c.value in known), None)
        wanted = (
            (people[known[first.value]].id, first.source) if isinstance(first, Candidate) else (None, None)
        )
        assert (user.person_id, user.link_source) == wanted


def test_linking_when_users_come_in_any_order_in_one_roster_ends_the_same(
    database, tenant, course, people, clock
):
    said = {"1": {"custom": "E-1"}, "2": {"email": "ada@company.example"}, "3": {"username": "ben"}}
    ends = set()
    for order in itertools.permutations(said):
        with database.transaction(tenant.id) as db:
            db.execute(delete(LtiUser))
            link(db, course[1], clock.now, *(see(sub, **said[sub]) for sub in order))
        ends.add(tuple(sorted((sub, *found[:2]) for sub, found in states(database, tenant).items())))
    assert len(ends) == 1

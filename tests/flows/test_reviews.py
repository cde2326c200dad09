"""From the end of pairs to a review, its decision and the verdict of the next cohort."""

from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from rmplugin.audit import AuditEntry
from rmplugin.errors import ConflictError, InputError
from rmplugin.jobs import enqueue, work_outbox
from rmplugin.matching import operations as matching
from rmplugin.matching import rule_sets
from rmplugin.matching.models import Pairing
from rmplugin.notify import unread
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.reviews import operations, queries, tasks
from rmplugin.reviews.models import MatchmakingReview
from rmplugin.tenants.models import LtiContext
from tests.factories.credits import join_course, make_course, make_person, make_programme
from tests.factories.reviews import add_cohort, add_pairing, make_run

REASONS = ["lack_of_expertise"] * 6 + ["distancing"] * 2 + ["time"] * 2
DECISION = {
    "finding": "Mentors know too little.",
    "change": "More weight for wanted skills.",
    "rule_set": 2,
    "owner": "Ada Park",
}


@pytest.fixture
def began(clock):
    return clock.now - timedelta(days=60)


@pytest.fixture
def programme(runtime, tenant, clock, began) -> Programme:
    """Give a programme of which one pair in three has failed, most for the same reason."""
    with runtime.database.transaction(tenant.id) as db:
        course = make_course(db, clock.now, "http://lms", None)
        programme = make_programme(
            db,
            clock.now,
            context_id=course.context.id,
            starts_on=began.date(),
            ends_on=began.date() + timedelta(days=300),
        )
        add_cohort(db, make_run(db, programme, began), began, REASONS, 20)
        return programme


@pytest.fixture
def look(runtime, tenant, programme, clock):
    def look() -> dict[str, MatchmakingReview]:
        with runtime.database.transaction(tenant.id) as db:
            operations.review_programme(db, programme.id, clock.now)
        with runtime.database.transaction(tenant.id) as db:
            return {row.alarm: row for row in queries.list_reviews(db, programme.id)}

    return look


@pytest.fixture
def decide(runtime, tenant, clock):
    def decide(review_id, **changed) -> MatchmakingReview:
        record = DECISION | {"decided_on": clock.now.date()} | changed
        with runtime.database.transaction(tenant.id) as db:
            review = queries.get_review(db, review_id)
            operations.decide(db, review, **record, actor="test", now=clock.now)
            return review

    return decide


def test_review_when_a_pair_ends_and_too_many_have_failed_opens_by_event(
    runtime, tenant, programme, clock, began
):
    with runtime.database.transaction(tenant.id) as db:
        pairing = db.scalars(select(Pairing).where(Pairing.state == "active")).first()
        for role, person in (("mentor", pairing.mentor_id), ("mentee", pairing.mentee_id)):
            db.add(
                Enrolment(
                    programme_id=programme.id,
                    person_id=person,
                    role=role,
                    state="submitted",
                    active_pairings=1,
                    created_at=began,
                    updated_at=began,
                )
            )
        db.flush()
        matching.end_pairing(db, pairing, pairing.mentor_id, "lack_of_expertise", "rematch", clock.now)
    work_outbox(runtime)
    with runtime.database.transaction(tenant.id) as db:
        opened = queries.list_reviews(db, programme.id)
        assert {"rate", "reason"} <= {review.alarm for review in opened}
        assert {review.state for review in opened} == {"opened"}
        assert db.scalars(select(AuditEntry).where(AuditEntry.action == "review.open")).all()


def test_review_when_looked_at_twice_opens_once(look, runtime, tenant):
    first = look()
    again = look()
    assert {name: row.id for name, row in first.items()} == {name: row.id for name, row in again.items()}


def test_review_when_little_fails_stays_closed(runtime, tenant, clock, began):
    with runtime.database.transaction(tenant.id) as db:
        programme = make_programme(db, clock.now)
        add_cohort(db, make_run(db, programme, began), began, ["time", "distancing", "never_scheduled"], 27)
        assert operations.review_programme(db, programme.id, clock.now) == []


def test_managers_when_reviews_open_are_told_until_all_are_decided_and_learners_are_not(
    look, decide, runtime, tenant, programme, clock
):
    with runtime.database.transaction(tenant.id) as db:
        course = db.get_one(LtiContext, programme.context_id)
        people = {}
        for role in ("Instructor", "Learner"):
            people[role] = make_person(db, clock.now)
            member = join_course(db, _course(course), people[role], role, clock.now, (role,), graded=False)
            member.is_learner = role == "Learner"
    page = f"/manage/reviews/programmes/{programme.id}"
    *others, last = look().values()
    for step, expected in ((others, [page]), ([last], [])):
        for review in step:
            decide(review.id)
        with runtime.database.transaction(tenant.id) as db:
            told = {role: [n.path for n in unread(db, person.id)] for role, person in people.items()}
        assert told == {"Instructor": expected, "Learner": []}


def test_evidence_when_counts_are_small_hides_them_everywhere(look):
    for review in look().values():
        cohort = review.evidence["cohort"]
        assert cohort["reasons"] == {"lack_of_expertise": 6}
        assert (cohort["pairs"], cohort["failed"], cohort["left_out"]) == (30, 10, None)
        assert all(row["pairs"] >= 5 for row in cohort["segments"])
        assert all(row["failed"] is None or row["failed"] >= 5 for row in cohort["segments"])
        assert "person" not in str(review.evidence).lower()


def test_evidence_when_few_more_pairs_ended_is_that_of_the_first_review(
    look, decide, runtime, tenant, programme, clock, began
):
    """Two versions would tell how the pairs came out that ended between them."""
    first = look()["rate"].evidence["cohort"]
    with runtime.database.transaction(tenant.id) as db:
        run = make_run(db, programme, began)
        add_pairing(db, run, began, "lack_of_expertise", after=timedelta(days=30))
        db.delete(queries.list_reviews(db, programme.id)[0])
    later = look()
    assert all(review.evidence["cohort"] == first for review in later.values())


def test_decision_when_recorded_cannot_be_changed(look, decide):
    review = decide(look()["rate"].id)
    assert (review.state, review.rule_set_before, review.rule_set_after) == ("decided", 1, 2)
    with pytest.raises(ConflictError, match="review_decided"):
        decide(review.id, finding="Something else")


@pytest.mark.parametrize(
    ("field", "value"), [("rule_set", 0), ("decided_on", date(2030, 1, 1))], ids=["older", "ahead"]
)
def test_decision_when_impossible_is_refused_by_field(look, decide, field, value):
    with pytest.raises(InputError) as refused:
        decide(look()["rate"].id, **{field: value})
    assert set(refused.value.details) == {field}


def test_review_when_decided_does_not_open_again_for_the_pairs_of_before(look, decide):
    for review in look().values():
        decide(review.id)
    assert {row.state for row in look().values()} == {"decided"}


@pytest.mark.parametrize(
    ("failing", "lasting", "state", "word"),
    [
        (["time"], 39, "verified", "better"),
        (["distancing"] * 30, 10, "verified", "worse"),
        (["distancing"] * 4, 8, "verified", "same"),
        ([], 9, "applied", None),
    ],
)
def test_verdict_when_the_next_cohort_came_out_compares_it(
    look, decide, runtime, tenant, programme, clock, failing, lasting, state, word
):
    review = decide(look()["rate"].id)
    clock.forward(days=30)
    with runtime.database.transaction(tenant.id) as db:
        nxt = make_programme(
            db,
            clock.now,
            context_id=programme.context_id,
            starts_on=clock.now.date(),
            ends_on=clock.now.date() + timedelta(days=100),
        )
        add_cohort(db, make_run(db, nxt, clock.now, version=2), clock.now, failing, lasting)
    tasks.review_all(runtime)
    with runtime.database.transaction(tenant.id) as db:
        assert queries.get_review(db, review.id).state == "applied"
    clock.forward(days=130)
    tasks.review_all(runtime)
    with runtime.database.transaction(tenant.id) as db:
        row = queries.get_review(db, review.id)
        assert row.state == state
        assert (row.verdict or {}).get("word") == word


def test_verdict_when_the_change_is_for_another_programme_counts_its_versions_alone(
    look, decide, runtime, tenant, programme, clock
):
    with runtime.database.transaction(tenant.id) as db:
        dates = {"starts_on": clock.now.date(), "ends_on": clock.now.date() + timedelta(days=100)}
        nxt = make_programme(db, clock.now, context_id=programme.context_id, **dates)
    review = decide(look()["rate"].id, programme=nxt, rule_set=1)
    clock.forward(days=1)
    with runtime.database.transaction(tenant.id) as db:
        add_cohort(db, make_run(db, programme, clock.now, version=7), clock.now, [], 20)
    tasks.review_all(runtime)
    with runtime.database.transaction(tenant.id) as db:
        assert queries.get_review(db, review.id).state == "decided", "it is not that programme's version"
        add_cohort(db, make_run(db, nxt, clock.now, version=1), clock.now, ["time"], 39)
    clock.forward(days=130)
    tasks.review_all(runtime)
    with runtime.database.transaction(tenant.id) as db:
        row = queries.get_review(db, review.id)
        assert (row.state, row.verdict["pairs"]) == ("verified", 40)


def test_decision_when_older_than_the_rules_in_force_or_for_an_archived_programme_is_refused(
    look, decide, runtime, tenant, programme, clock
):
    with runtime.database.transaction(tenant.id) as db:
        nxt, over = (
            make_programme(db, clock.now, context_id=programme.context_id, state=state)
            for state in ("enrolling", "archived")
        )
        for gap in (1, 2):
            rule_sets.make_live(
                db, rule_sets.draft(db, nxt, {"min_rank_gap": gap}, "test", clock.now), "test", clock.now
            )
    for chosen, field in ((nxt, "rule_set"), (over, "programme")):
        with pytest.raises(InputError) as refused:
            decide(look()["rate"].id, programme=chosen, rule_set=1)
        assert set(refused.value.details) == {field}


def test_verdict_when_pairs_were_made_by_the_old_rules_waits(look, decide, runtime, tenant, programme, clock):
    review = decide(look()["rate"].id)
    clock.forward(days=1)
    with runtime.database.transaction(tenant.id) as db:
        add_cohort(db, make_run(db, programme, clock.now, version=1), clock.now, [], 20)
    clock.forward(days=400)
    tasks.review_all(runtime)
    with runtime.database.transaction(tenant.id) as db:
        assert queries.get_review(db, review.id).state == "decided"


def test_prior_when_the_earlier_cohort_was_bad_needs_fewer_failures(runtime, tenant, programme, clock, began):
    with runtime.database.transaction(tenant.id) as db:
        alone = operations._prior(db, programme, clock.now)
        earlier = make_programme(
            db,
            clock.now,
            context_id=programme.context_id,
            starts_on=date(2024, 1, 1),
            ends_on=date(2024, 12, 1),
        )
        add_cohort(db, make_run(db, earlier, began), began, ["distancing"] * 10, 10)
        assert alone == (2, 8)
        assert operations._prior(db, programme, clock.now)[0] == pytest.approx(4)


def test_review_all_when_another_tenant_has_failures_leaves_each_their_own(
    runtime, tenant, other_tenant, programme, clock
):
    assert tasks.review_all(runtime) >= 1
    with runtime.database.transaction(other_tenant.id) as db:
        assert db.scalars(select(MatchmakingReview)).all() == []


def test_event_when_its_pair_ended_without_a_reason_counts_neither_way(
    runtime, tenant, programme, clock, began
):
    with runtime.database.transaction(tenant.id) as db:
        run = make_run(db, programme, began)
        pairing = add_pairing(db, run, began, None, after=timedelta(days=9))
        enqueue(db, "pairing_closed", clock.now, pairing_id=str(pairing.id))
        found = queries.outcomes_of(db, programme, clock.now)
    assert [o.result for o in found if o.pair == str(pairing.id)] == ["left_out"]


def _course(context):
    """Stand in for the course that `join_course` asks for."""
    return SimpleNamespace(context=context, platform=SimpleNamespace(id=context.platform_id), link=None)

"""Pages of matchmaking reviews: what a manager reads, decides and tries, and what nobody can find out."""

import re
from datetime import timedelta

import pytest

from rmplugin.matching.models import Pairing
from rmplugin.people.models import Person
from rmplugin.reviews import operations, queries
from rmplugin.tenants.models import LtiContext
from tests.factories.commands import Commands
from tests.factories.credits import make_course, make_programme
from tests.factories.reviews import add_cohort, make_run
from tests.factories.rows import read_rows

REASONS = ["lack_of_expertise"] * 6 + ["distancing"] * 2 + ["language_time_zone"] * 4


class Scene:
    """A programme with failures, its manager's browser, and its reviews."""

    def __init__(self, runtime, tenant, clock, sign_in, failing, lasting) -> None:
        self.runtime, self.tenant, self.now = runtime, tenant, clock.now
        began = clock.now - timedelta(days=200)
        with self.transaction() as db:
            course = make_course(db, clock.now, "http://lms", None)
            self.context = course.context
            self.programme = make_programme(
                db,
                clock.now,
                context_id=course.context.id,
                starts_on=began.date(),
                ends_on=clock.now.date() - timedelta(days=1),
            )
            add_cohort(db, make_run(db, self.programme, began), began, failing, lasting)
            operations.review_programme(db, self.programme.id, clock.now)
        self.manager = sign_in(tenant, manager=True, context=course.context)
        self.list = f"/manage/reviews/programmes/{self.programme.id}"

    def transaction(self):
        return self.runtime.database.transaction(self.tenant.id)

    def reviews(self):
        with self.transaction() as db:
            return {row.alarm: row for row in queries.list_reviews(db, self.programme.id)}

    def open(self, alarm="rate"):
        return self.manager.get(f"/manage/reviews/{self.reviews()[alarm].id}")


@pytest.fixture
def scene(runtime, tenant, clock, sign_in) -> Scene:
    return Scene(runtime, tenant, clock, sign_in, REASONS, 20)


@pytest.fixture
def record(scene):
    return {
        "finding": "Mentors know too little of what is wanted.",
        "change": "More weight for wanted skills.",
        "rule_set": "2",
        "owner": "Ada Park",
        "decided_on": scene.now.date().isoformat(),
    }


def test_desk_when_a_review_is_open_says_so_and_leads_there(scene):
    page = scene.manager.get("/manage")
    assert "reviews of the matchmaking that wait for you" in page.says()
    assert f'href="{scene.list}"' in page.text


def test_list_when_there_is_none_says_what_is_watched(runtime, tenant, clock, sign_in):
    calm = Scene(runtime, tenant, clock, sign_in, ["time"], 20)
    page = calm.manager.get(calm.list).says()
    assert "None so far" in page
    assert "One reason comes back" in page
    assert "reviews of the matchmaking" not in calm.manager.get("/manage").says()


def test_review_when_opened_shows_evidence_and_causes_without_names_or_small_counts(scene):
    page = scene.open()
    assert page.status == 200
    words = page.says()
    assert "12 pairs failed" in words
    assert "The knowledge for this goal is missing (6 times)" in words
    # Given by fewer than five pairs.
    assert "Language or time zone" not in words
    assert "Meetings were cancelled" not in words
    names = {person.display_name for person in read_rows(scene.runtime.database, scene.tenant, Person)}
    assert [name for name in names if name in page.text] == []
    ids = {str(row.id) for row in read_rows(scene.runtime.database, scene.tenant, Pairing)}
    assert [one for one in ids if one in page.text] == []


def test_review_when_the_reason_was_given_by_few_does_not_name_it(runtime, tenant, clock, sign_in):
    small = Scene(runtime, tenant, clock, sign_in, ["misuse_of_power"] * 4, 26)
    words = small.open("reason").says()
    assert "Which one is not shown" in words
    assert "Power was used" not in words


def test_decision_when_complete_is_kept_and_the_form_is_gone(scene, record):
    page = scene.open().submit("/decision", **record)
    assert "The decision is recorded" in page.says()
    assert "Ada Park" in page.says()
    assert "1 before, 2 from now on" in page.says()
    assert not [form for form in page.forms() if "/decision" in form["action"]]


def test_decision_when_the_next_programme_is_there_is_for_its_rules(scene, record, clock):
    days = {"starts_on": clock.now.date(), "ends_on": clock.now.date() + timedelta(days=90)}
    with scene.transaction() as db:
        nxt = make_programme(db, clock.now, context_id=scene.context.id, name="Digital 2028", **days)
        other = make_programme(db, clock.now, name="In another course", **days)
    page = scene.open()
    assert "Digital 2028 (not matched yet)" in page.says()
    assert re.search(r'name="rule_set"[^>]* value="1"', page.text)
    page.submit("/decision", **(record | {"programme": str(other.id)}))
    assert page.status == 404
    page = scene.open().submit("/decision", **(record | {"programme": str(nxt.id), "rule_set": "1"}))
    assert "1 before; from now on 1 of “Digital 2028”" in page.says()
    assert f'href="/programmes/{nxt.id}/matching/rules"' in page.text
    assert scene.reviews()["rate"].programme_after_id == nxt.id


@pytest.mark.parametrize("field", ["finding", "change", "rule_set", "owner", "decided_on"])
def test_decision_when_a_field_is_missing_is_refused_and_what_was_typed_stays(scene, record, field):
    page = scene.open().submit("/decision", **(record | {field: ""}))
    assert page.status == 422
    assert f'id="e-{field}"' in page.text
    kept = "More weight" if field != "change" else "Mentors know too little"
    assert kept in page.text
    assert scene.reviews()["rate"].state == "opened"


def test_decision_when_sent_again_later_changes_nothing(scene, record):
    review = scene.reviews()["rate"]
    scene.open().submit("/decision", **record)
    again = scene.manager.post(f"/manage/reviews/{review.id}/decision", **(record | {"finding": "Other"}))
    assert again.status == 409
    assert scene.reviews()["rate"].finding == record["finding"]


def test_suspected_cause_when_noted_is_shown_and_the_review_stays_open(scene):
    page = scene.open().submit("/analysis", suspected="Too few mentors with data skills")
    assert "Too few mentors with data skills" in page.says()
    assert scene.reviews()["rate"].state == "analysed"
    assert "reviews of the matchmaking" in scene.manager.get("/manage").says()


def test_pages_when_another_course_asks_are_refused(scene, sign_in, clock):
    with scene.transaction() as db:
        platform_id = db.get_one(LtiContext, scene.context.id).platform_id
        other = LtiContext(
            platform_id=platform_id, deployment_id="36", context_id="4", last_launch_at=clock.now
        )
        db.add(other)
        db.flush()
    stranger = sign_in(scene.tenant, manager=True, context=other)
    review = scene.reviews()["rate"]
    for path in (scene.list, f"{scene.list}/replay", f"/manage/reviews/{review.id}"):
        assert stranger.get(path).status == 403


def test_replay_when_weights_change_shows_ranks_and_limits(scene):
    page = scene.manager.get(f"{scene.list}/replay")
    assert "These are the weights in use" in page.says()
    page = scene.manager.get(f"{scene.list}/replay?coverage=0&learning=90000")
    words = page.says()
    assert "Only pairs that happened have outcomes" in words
    assert "expected to fail, of the half that ranks best with these weights" in words
    assert "Would rank lower" in words
    assert re.search(r"Person \w+ → Person \w+", words)


def test_replay_when_pairs_are_too_few_says_that_it_cannot_tell(runtime, tenant, clock, sign_in):
    small = Scene(runtime, tenant, clock, sign_in, ["distancing"] * 6, 10)
    page = small.manager.get(f"{small.list}/replay?coverage=0").says()
    assert "This cannot be told yet" in page
    assert "Person" not in page


@pytest.mark.parametrize("asked", ["coverage=-5", "coverage=x", "coverage=99999999999"])
def test_replay_when_a_weight_is_wrong_counts_it_as_not_given(scene, asked):
    assert "These are the weights in use" in scene.manager.get(f"{scene.list}/replay?{asked}").says()


def test_commands_when_used_list_show_and_decide(scene, settings, runtime):
    rm = Commands.of(settings)
    listed = rm.do("review", "list", scene.programme.name, "--json").json
    assert {row["alarm"] for row in listed} == set(scene.reviews())
    review_id = scene.reviews()["rate"].id
    shown = rm.do("review", "show", review_id, "--json").json
    assert shown["evidence"]["cohort"]["reasons"] == {"lack_of_expertise": 6}
    given = ("--finding", "F", "--change", "C", "--rule-set", 3, "--owner", "O", "--date", "2026-11-01")
    decided = rm.do("review", "decide", review_id, *given, "--json").json
    assert (decided["state"], decided["rule_set_after"]) == ("decided", 3)
    again = rm("review", "decide", review_id, *given)
    assert again.code == 1
    assert "never changed" in again.err
    assert rm("review", "decide", review_id, "--finding", "F").code == 2

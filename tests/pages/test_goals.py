"""Goals: both roles set them, versions stay, the review compares with the beginning."""

import pytest

from rmplugin.errors import ConflictError, InputError, NotAllowedError
from rmplugin.goals import operations, queries
from rmplugin.goals.models import Goal, GoalProgress, GoalVersion
from rmplugin.jobs import OutboxEvent
from rmplugin.leaving.queries import record_of
from rmplugin.leaving.words import lines_of
from tests.factories.pairs import GOAL, make_pair


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def do(pair, verb, goal, *args, **fields):
    with pair.transaction() as db:
        return verb(db, db.get_one(Goal, goal.id), *args, **fields)


def test_goal_when_set_through_the_page_is_seen_by_both(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentee).get(f"{pair.path}/goals/new")
    browser.submit("/goals", **{name: str(value) for name, value in GOAL.items()})
    assert browser.status == 200, browser.says()
    other = sign_in(tenant, pair.mentor).get(pair.path)
    assert GOAL["title"] in other.says()
    assert "Goal of Sven Senior · Technology · open" in other.says()


def test_goal_when_levels_missing_marks_each_and_keeps_the_rest(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/goals/new")
    browser.submit("/goals", title="Lead a difficult talk", due_on="2020-01-01")
    assert browser.status == 422
    assert "Lead a difficult talk" in browser.text
    assert "Please choose a theme." in browser.text
    assert browser.text.count("a few words are enough") == 6
    assert pair.rows(Goal) == []


def test_goal_when_due_in_the_past_is_refused_at_the_field(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/goals/new")
    browser.submit(
        "/goals", **{name: str(value) for name, value in (GOAL | {"due_on": "2026-11-23"}).items()}
    )
    assert browser.status == 422
    assert "Please choose a day after today" in browser.says()


def test_goal_when_changed_keeps_the_first_version_unchanged(sign_in, tenant, pair):
    goal = pair.add_goal(pair.mentee)
    browser = sign_in(tenant, pair.mentee).get(f"/goals/{goal.id}/change")
    browser.submit("/change", title="Write all my reports with it")
    assert "saved as version 2" in browser.says()
    assert [(row.version, row.title) for row in pair.rows(GoalVersion)] == [
        (1, GOAL["title"]),
        (2, "Write all my reports with it"),
    ]
    assert GOAL["title"] in browser.says()


def test_goal_when_change_changes_nothing_makes_no_version(pair):
    goal = pair.add_goal(pair.mentee)
    with pytest.raises(ConflictError, match="nothing_changed"):
        do(pair, operations.change_goal, goal, GOAL, pair.mentee.id, pair.now)


def test_goal_progress_when_recorded_shows_level_in_own_words(sign_in, tenant, pair):
    goal = pair.add_goal(pair.mentee)
    browser = sign_in(tenant, pair.mentee).get(f"/goals/{goal.id}")
    browser.submit("/progress", attainment="1", note="Three in a row")
    assert "+1, more than hoped Three in a row" in browser.says()
    assert "+1, more than hoped: Every report." in sign_in(tenant, pair.mentor).get(pair.path).says()


def test_goal_progress_when_no_level_chosen_says_so(sign_in, tenant, pair):
    goal = pair.add_goal(pair.mentee)
    browser = sign_in(tenant, pair.mentee).get(f"/goals/{goal.id}")
    browser.submit("/progress", note="Kept note")
    assert browser.status == 422
    assert "Please choose one of the five levels." in browser.says()
    assert "Kept note" in browser.text


def test_goal_page_when_partners_offers_no_form(sign_in, tenant, pair):
    goal = pair.add_goal(pair.mentee)
    browser = sign_in(tenant, pair.mentor).get(f"/goals/{goal.id}")
    assert browser.status == 200
    assert browser.forms() == []
    browser.post(f"/goals/{goal.id}/progress", attainment="2")
    assert browser.status == 403
    assert pair.rows(GoalProgress) == []


@pytest.mark.parametrize("verb", ["change", "review", "drop"])
def test_goal_when_partner_posts_a_change_is_refused(sign_in, tenant, pair, verb):
    goal = pair.add_goal(pair.mentee)
    values = {name: str(value) for name, value in (GOAL | {"title": "Theirs"}).items()}
    browser = sign_in(tenant, pair.mentor).post(f"/goals/{goal.id}/{verb}", attainment="1", **values)
    assert browser.status == 403
    assert pair.rows(Goal)[0].state == "open"
    assert len(pair.rows(GoalVersion)) == 1


def test_review_shows_initial_and_current_goal_side_by_side(sign_in, tenant, pair):
    goal = pair.add_goal(pair.mentee)
    do(pair, operations.change_goal, goal, GOAL | {"level_0": "Every third report"}, pair.mentee.id, pair.now)
    says = sign_in(tenant, pair.mentee).get(f"/goals/{goal.id}/review").says()
    assert "0, as hoped Every second report. Every third report" in says


def test_review_when_the_goal_was_changed_is_told_everywhere_in_the_words_it_was_measured_by(
    sign_in, tenant, pair, clock
):
    goal = pair.add_goal(pair.mentee, level_plus_1="one board paper", level_0="one slide")
    browser = sign_in(tenant, pair.mentee).get(f"/goals/{goal.id}")
    browser.submit("/progress", attainment="0")
    clock.forward(minutes=10)
    changed = GOAL | {"level_plus_1": "nine board papers", "level_0": "nine slides"}
    do(pair, operations.change_goal, goal, changed, pair.mentee.id, pair.now)
    assert "0, as hoped one slide" in browser.get(pair.path).says().replace(":", "")
    clock.forward(minutes=10)
    browser.get(f"/goals/{goal.id}/review")
    assert "one board paper" in browser.says()
    browser.submit("/review", attainment="1")
    for path in (pair.path, "/goals", f"/programmes/{pair.programme.id}/record"):
        words = browser.get(path).says()
        assert "one board paper" in words
        assert "nine board papers" not in words
    with pair.transaction() as db:
        record = record_of(db, pair.programme.id, pair.mentee.id)
        assert "one board paper" in " ".join(str(line) for _kind, line in lines_of(record, (), str))
    assert "+1, more than hoped: one board paper" in browser.get(f"/goals/{goal.id}").says().replace(
        " :", ":"
    )


def test_review_when_below_zero_without_reason_asks_for_one(sign_in, tenant, pair):
    goal = pair.add_goal(pair.mentee)
    browser = sign_in(tenant, pair.mentee).get(f"/goals/{goal.id}/review")
    browser.submit("/review", attainment="-1", note="Too busy")
    assert browser.status == 422
    assert "please choose what stood in the way most" in browser.says()
    assert "Too busy" in browser.text
    browser.submit("/review", attainment="-1", note="Too busy", reason="time")
    assert browser.status == 200
    entry = pair.rows(GoalProgress)[0]
    assert (entry.attainment, entry.reason, entry.is_review) == (-1, "time", True)


def test_review_when_done_tells_completion_of_the_owner_once(pair):
    goal = pair.add_goal(pair.mentor)
    do(pair, operations.review_goal, goal, pair.mentor.id, 1, "time", "", pair.now)
    events = pair.rows(OutboxEvent, kind="progress_changed")
    assert [event.payload for event in events] == [
        {"programme_id": str(pair.programme.id), "person_id": str(pair.mentor.id)}
    ]
    assert pair.rows(GoalProgress)[0].reason is None
    with pytest.raises(ConflictError, match="goal_closed"):
        do(pair, operations.review_goal, goal, pair.mentor.id, 2, None, "", pair.now)


def test_goal_when_dropped_is_kept_and_closed(pair):
    goal = pair.add_goal(pair.mentor)
    do(pair, operations.drop_goal, goal, pair.mentor.id)
    with pair.transaction() as db:
        assert [story.goal.state for story in queries.list_goals(db, pair.pairing.id)] == ["dropped"]
    with pytest.raises(ConflictError, match="goal_closed"):
        do(pair, operations.record_progress, goal, pair.mentor.id, 1, "", pair.now)


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        (operations.record_progress, (1, "")),
        (operations.review_goal, (1, None, "")),
    ],
)
def test_goal_when_pairing_ended_stays_as_it_is(pair, verb, args):
    goal = pair.add_goal(pair.mentor)
    pair.end()
    with pytest.raises(ConflictError, match="pairing_ended"):
        do(pair, verb, goal, pair.mentor.id, *args, pair.now)


def test_review_operation_when_partner_is_not_allowed(pair):
    goal = pair.add_goal(pair.mentor)
    with pytest.raises(NotAllowedError):
        do(pair, operations.review_goal, goal, pair.mentee.id, 1, None, "", pair.now)
    with pytest.raises(InputError):
        do(pair, operations.review_goal, goal, pair.mentor.id, -2, None, "", pair.now)


def test_goal_when_words_hold_markup_shows_it_as_text(sign_in, tenant, pair):
    nasty = "<script>alert(1)</script>"
    goal = pair.add_goal(pair.mentee, title=nasty, level_0=nasty, baseline=nasty)
    browser = sign_in(tenant, pair.mentee)
    for path in (pair.path, f"/goals/{goal.id}", f"/goals/{goal.id}/review", f"/goals/{goal.id}/change"):
        page = browser.get(path)
        assert "&lt;script&gt;" in page.text, path
        assert nasty not in page.text, path


def test_goal_when_half_of_its_time_is_over_asks_to_compare_once(sign_in, tenant, pair, clock):
    goal = pair.add_goal(pair.mentee)
    browser = sign_in(tenant, pair.mentee)
    assert "Half of the time is over" not in browser.get(f"/goals/{goal.id}").says()
    clock.forward(days=100)
    browser = sign_in(tenant, pair.mentee)
    assert "Half of the time is over" in browser.get(f"/goals/{goal.id}").says()
    browser.get(f"/goals/{goal.id}/half-way")
    assert "The initial goal" in browser.says()
    browser.submit("/half-way", attainment="-1")
    assert browser.status == 422
    assert "please choose what stood in the way most" in browser.says()
    browser.submit("/half-way", attainment="-1", reason="access")
    assert "Half of the time is over" not in browser.says()
    entry = pair.rows(GoalProgress)[0]
    assert (entry.is_mid, entry.is_review, entry.reason) == (True, False, "access")
    assert pair.rows(Goal)[0].state == "open"


def test_review_when_something_has_to_change_leads_to_a_new_version_of_the_agreement(sign_in, tenant, pair):
    goal = pair.add_goal(pair.mentee)
    page = sign_in(tenant, pair.mentee).get(f"/goals/{goal.id}/review")
    assert f'href="{pair.path}/agreement/new"' in page.text


def test_my_goals_when_reviewed_show_them_together_with_their_weights(sign_in, tenant, pair):
    for weight, level in ((2, 1), (1, -1)):
        goal = pair.add_goal(pair.mentee, weight=weight)
        with pair.transaction() as db:
            row = db.get_one(Goal, goal.id)
            operations.review_goal(db, row, pair.mentee.id, level, "time", "", pair.now)
    assert "Your reviewed goals together: 54" in sign_in(tenant, pair.mentee).get("/goals").says()


def test_themes_when_few_have_them_are_hidden_from_the_manager(runtime, sign_in, tenant, pair):
    pairs = [pair, *(make_pair(runtime, tenant) for _ in range(5))]
    with pair.transaction() as db:
        for other in pairs[1:]:
            other.get(db).programme_id = pair.programme.id
    for other in pairs[:5]:
        other.add_goal(other.mentee)
        other.add_goal(other.mentor, theme="organisation")
    pair.add_goal(pair.mentee, theme="outside_world")
    page = sign_in(tenant, pair.mentor, manager=True).get(f"/programmes/{pair.programme.id}/goals")
    says = page.says()
    assert "Technology 5" in says
    assert "The outside world hidden" in says
    assert "Our organisation 0" in says
    assert "No goal yet hidden" in says
    # Whoever signed up wanted to learn something: all six are counted below,
    # but the sixth alone moves no number.
    assert "Technology 5" in says[says.index("What they wanted to learn") :]
    assert GOAL["title"] not in says

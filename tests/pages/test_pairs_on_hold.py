"""Pairs on hold: what the two read, and what the manager sees and can do."""

from datetime import date, timedelta

import pytest

from rmplugin.matching import interruptions
from rmplugin.people.models import Person
from rmplugin.programmes.models import Programme
from tests.factories.pairs import make_pair
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import make_context

# Words that would tell the two what HR knows about one of them.
TELLING = ("staff list", "reporting line", "not at work", "suspended", "paused", "has left")


@pytest.fixture
def context(runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        return make_context(db)


@pytest.fixture
def pair(runtime, tenant, context):
    made = make_pair(runtime, tenant)
    with made.transaction() as db:
        db.get_one(Programme, made.programme.id).context_id = context.id
    return made


def change(pair, person, **values) -> None:
    """Change what HR says, and let it have its consequences."""
    with pair.transaction() as db:
        row = db.get_one(Person, person.id)
        for name, value in values.items():
            setattr(row, name, value)
        db.flush()
        interruptions.on_roster_synced(db, {"status": "complete"}, pair.now)


@pytest.fixture
def manager(sign_in, tenant, context):
    return sign_in(tenant, manager=True, context=context)


@pytest.mark.parametrize("reason", ["line", "left"])
def test_pages_of_the_two_when_on_hold_are_kind_and_tell_nothing(pair, sign_in, reason):
    ahead = pair.plan(pair.mentor, pair.now + timedelta(days=2))
    pair.agree()
    held = pair.hold(hours_ago=3)
    pair.add_goal(pair.mentee)
    change(
        pair,
        pair.mentor,
        **({"manager_id": pair.mentee.id} if reason == "line" else {"status": "terminated"}),
    )
    browser = sign_in(pair.tenant, pair.mentee)
    for path in (
        "/home", pair.path, f"/sessions/{ahead.id}", f"/sessions/{held.id}", f"{pair.path}/checkin",
        f"{pair.path}/agreement", f"{pair.path}/end", "/goals",
    ):  # fmt: skip
        browser.get(path)
        assert browser.status == 200, path
        assert not [word for word in TELLING if word in browser.says().lower()], path
        actions = [form["action"] for form in browser.forms()]
        assert not [action for action in actions if action.endswith(("/claim", "/move", "/sessions"))], path
    assert "Your pairing with Mira Junior is on hold for the time being" in browser.get("/home").says()
    assert "On hold for the time being" in browser.says()
    assert "is on hold for the time being. You need not" in browser.get(pair.path).says()
    assert "To confirm" not in browser.says()
    assert "sessions cannot be moved or confirmed" in browser.get(f"/sessions/{held.id}").says()
    assert browser.post(f"/sessions/{held.id}/claim", minutes="60").status == 409
    assert "on hold" in browser.says()
    assert browser.post(f"/sessions/{ahead.id}/cancel").status == 200
    assert "The session is cancelled." in browser.says()


def test_home_of_the_partner_when_the_pair_goes_on_says_so(pair, sign_in):
    change(pair, pair.mentor, status="terminated")
    browser = sign_in(pair.tenant, pair.mentee).get("/home")
    assert browser.says().count("is on hold for the time being") == 1
    change(pair, pair.mentor, status="active")
    assert (
        "Your pairing with Mira Junior goes on. Everything that the two of you" in browser.get("/home").says()
    )
    assert "on hold" not in browser.says()
    assert "goes on" not in browser.submit("/away").get("/home").says()


def test_either_side_when_on_hold_can_still_end_the_pairing(pair, sign_in):
    change(pair, pair.mentor, status="terminated")
    browser = sign_in(pair.tenant, pair.mentee).get(f"{pair.path}/end")
    assert browser.submit("/end", next_choice="rematch").status == 200
    assert "The pairing has ended" in browser.says()


def test_desk_when_a_line_joins_a_pair_names_both_and_the_reason_and_offers_to_end_it(pair, manager):
    change(pair, pair.mentor, manager_id=pair.mentee.id)
    says = manager.get("/manage").says()
    assert "Pairs that are suspended, because a reporting line joins the two now: 1." in says
    assert "Mira Junior → Sven Senior suspended since 23 Nov 2026" in says
    assert "one of the two is in the other's reporting line now" in says
    assert not [form for form in manager.forms() if form["action"].endswith("/resume")]
    assert "Both are told in neutral words" in manager.submit(f"{pair.pairing.id}/end").says()
    assert "Pairs on hold" not in manager.get("/manage").says()


def test_desk_when_the_line_is_gone_lets_the_pair_go_on(pair, manager):
    change(pair, pair.mentor, manager_id=pair.mentee.id)
    change(pair, pair.mentor, manager_id=None)
    assert (
        "Pairs that are suspended and could go on, because the reporting line is gone: 1."
        in manager.get("/manage").says()
    )
    assert "The pairing goes on. Both are told." in manager.submit("/resume").says()
    assert "Mira Junior → Sven Senior active" in manager.get("/manage").says()


def test_desk_when_somebody_is_not_at_work_says_that_the_pair_is_paused(pair, manager):
    change(pair, pair.mentor, status="terminated")
    says = manager.get("/manage").says()
    assert "Pairs that are paused, because somebody is not at work: 1." in says
    assert "Mira Junior → Sven Senior paused since 23 Nov 2026" in says


def test_pair_on_hold_when_another_courses_manager_asks_is_refused(pair, sign_in, runtime, tenant):
    change(pair, pair.mentor, status="terminated")
    with runtime.database.transaction(tenant.id) as db:
        elsewhere = make_context(db)
    stranger = sign_in(tenant, manager=True, context=elsewhere)
    for verb in ("resume", "end"):
        assert stranger.post(f"/manage/pairings/{pair.pairing.id}/{verb}").status == 403


@pytest.mark.parametrize(
    ("promoted", "flagged"),
    [({"seniority_rank": 85, "hire_date": date(2009, 1, 1)}, True), ({"seniority_rank": 70}, False)],
)
def test_desk_when_a_promotion_breaks_the_junior_rule_flags_it_and_stops_nothing(
    pair, manager, promoted, flagged
):
    change(pair, pair.mentor, **promoted)
    says = manager.get("/manage").says()
    assert ("No longer junior" in says) is flagged
    assert ("Pairs whose mentor is no longer junior to the mentee: 1. See the pairs" in says) is flagged
    assert ('href="/manage#no-longer-junior"' in manager.text) is flagged
    assert "Mira Junior → Sven Senior active" in manager.says()


def test_desk_when_somebody_joined_lately_suggests_them_and_invites(pair, manager, runtime, tenant):
    with pair.transaction() as db:
        new = make_person(db, given_name="Nora", family_name="New", hire_date=date(2026, 9, 1))
        make_person(db, given_name="Otto", family_name="Old", hire_date=date(2015, 9, 1))
        make_leader(db, given_name="Lena", family_name="Leader", hire_date=date(2026, 9, 1))
        make_person(db, given_name="Gone", hire_date=date(2026, 9, 1), status="terminated")
    says = manager.get("/manage").says()
    assert "New colleagues who could be mentors and are not invited: 1." in says
    assert "Nora New, Analyst, Finance" in says
    assert not [name for name in ("Otto", "Lena", "Gone") if name in says]
    assert manager.submit("/invite-ticked", people=str(new.id)).status == 200
    assert "New colleagues" not in manager.get("/manage").says()


def test_desk_when_the_programme_concludes_suggests_nobody(pair, manager):
    with pair.transaction() as db:
        make_person(db, hire_date=date(2026, 9, 1))
        db.get_one(Programme, pair.programme.id).state = "concluding"
    assert "New colleagues" not in manager.get("/manage").says()

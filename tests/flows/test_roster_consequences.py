"""What a roster that was read means for pairs: on hold, going on, closed proposals; never who or why."""

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event, insert, select

from rmplugin import jobs
from rmplugin.audit import AuditEntry
from rmplugin.credits.models import CreditEntry
from rmplugin.db import new_id
from rmplugin.errors import ConflictError
from rmplugin.matching import ending, interruptions, queries, tasks
from rmplugin.matching.models import LIVE, MatchRun, Pairing, Proposal
from rmplugin.matching.scoring import number_reporting_lines
from rmplugin.notify import Notice, unread
from rmplugin.people.models import Person
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import find_enrolment
from rmplugin.sessions import operations as sessions
from rmplugin.sessions.models import MentoringSession
from rmplugin.wiring import make_worker
from tests.factories.commands import Commands
from tests.factories.matching import make_scene
from tests.factories.pairs import Pair, make_pair
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import make_programme


@pytest.fixture
def pair(runtime, tenant) -> Pair:
    return make_pair(runtime, tenant)


def change(pair, person, **values) -> None:
    with pair.transaction() as db:
        row = db.get_one(Person, person.id)
        for name, value in values.items():
            setattr(row, name, value)


def synced(runtime, tenant, status="complete") -> None:
    """Do what the end of a roster run leads to."""
    with runtime.database.transaction(tenant.id) as db:
        jobs.enqueue(db, "roster_synced", runtime.clock(), tenant_slug="acme", run_id="1", status=status)
    jobs.work_outbox(runtime, kind="roster_synced")


def state(pair) -> tuple[str, str | None]:
    with pair.transaction() as db:
        row = pair.get(db)
        return row.state, row.interruption


def notices(pair, person) -> list[str]:
    with pair.transaction() as db:
        return [notice.text for notice in unread(db, person.id)]


def join(pair, *between) -> None:
    """Make the mentee lead the mentor, with people between them."""
    chain = [pair.mentor, *between, pair.mentee]
    for low, high in itertools.pairwise(chain):
        change(pair, low, manager_id=high.id, manager_state="resolved")


def on_hold(person) -> str:
    return interruptions.NEUTRAL_ON_HOLD % {"name": person.display_name}


@pytest.mark.parametrize(
    "gone", [{"lifecycle": "tombstoned"}, {"status": "terminated"}, {"status": "suspended"}]
)
def test_leaver_when_the_roster_was_read_pauses_the_pair_and_only_the_partner_is_told(pair, gone):
    change(pair, pair.mentor, **gone)
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("paused", "not_at_work")
    assert notices(pair, pair.mentee) == [on_hold(pair.mentor)]
    assert notices(pair, pair.mentor) == []


def test_leaver_when_back_at_work_has_the_pair_go_on_and_both_are_told(pair):
    change(pair, pair.mentor, status="terminated")
    synced(pair.runtime, pair.tenant)
    change(pair, pair.mentor, status="active")
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("active", None)
    assert notices(pair, pair.mentee) == [interruptions.NEUTRAL_GOES_ON % {"name": "Mira Junior"}]
    assert notices(pair, pair.mentor) == [interruptions.NEUTRAL_GOES_ON % {"name": "Sven Senior"}]
    assert [row.action for row in pair.rows(AuditEntry, subject_id=pair.pairing.id)] == [
        "pairing.pause",
        "pairing.resume",
    ]


@pytest.mark.parametrize("status", ["leave", "unknown"])
def test_people_who_can_still_take_part_when_the_roster_was_read_go_on(pair, status):
    change(pair, pair.mentor, status=status)
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("active", None)


@pytest.mark.parametrize("status", ["held", "failed"])
def test_run_that_changed_nobody_when_closed_has_no_consequences(pair, status):
    change(pair, pair.mentor, status="terminated")
    synced(pair.runtime, pair.tenant, status=status)
    assert state(pair) == ("active", None)


@pytest.mark.parametrize("depth", [0, 7])
@pytest.mark.parametrize("upwards", [True, False])
def test_reporting_line_when_new_suspends_the_pair_at_any_depth_in_either_direction(pair, depth, upwards):
    with pair.transaction() as db:
        between = [make_person(db) for _ in range(depth)]
    if not upwards:
        pair.mentor, pair.mentee = pair.mentee, pair.mentor
    join(pair, *between)
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("suspended", "reporting_line")
    for person, partner in ((pair.mentor, pair.mentee), (pair.mentee, pair.mentor)):
        assert notices(pair, person) == [on_hold(partner)]


def test_two_of_one_team_when_the_roster_was_read_are_not_in_one_line(pair):
    with pair.transaction() as db:
        boss = make_leader(db)
    for person in (pair.mentor, pair.mentee):
        change(pair, person, manager_id=boss.id)
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("active", None)


def test_neutral_words_when_paused_or_suspended_are_the_same(runtime, tenant):
    first, second = make_pair(runtime, tenant), make_pair(runtime, tenant)
    change(first, first.mentor, status="terminated")
    join(second)
    synced(runtime, tenant)
    assert notices(first, first.mentee) == notices(second, second.mentee)


def test_consequences_when_repeated_are_the_same_once(pair):
    join(pair)
    change(pair, pair.mentor, status="terminated")
    synced(pair.runtime, pair.tenant)
    pair.runtime.clock.forward(days=3)
    before = [(row.id, row.read_at) for row in pair.rows(Notice)]
    with pair.transaction() as db:
        since = pair.get(db).interrupted_at
    for _ in range(2):
        synced(pair.runtime, pair.tenant)
        assert tasks.check_firewall(pair.runtime) == tasks.check_presence(pair.runtime) == 0
    assert [(row.id, row.read_at) for row in pair.rows(Notice)] == before
    assert len(pair.rows(AuditEntry, subject_id=pair.pairing.id)) == 1
    with pair.transaction() as db:
        assert pair.get(db).interrupted_at == since


def test_paused_pair_when_a_line_joins_the_two_is_suspended_and_does_not_go_on_by_itself(pair):
    change(pair, pair.mentor, status="terminated")
    synced(pair.runtime, pair.tenant)
    join(pair)
    change(pair, pair.mentor, status="active")
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("suspended", "reporting_line")


def test_suspended_pair_when_the_line_is_gone_waits_for_the_manager_who_checks_it_again(pair):
    def resume() -> None:
        with pair.transaction() as db:
            interruptions.resume(db, pair.get(db), "command", pair.now)

    join(pair)
    synced(pair.runtime, pair.tenant)
    with pytest.raises(ConflictError, match="reporting_line"):
        resume()
    change(pair, pair.mentor, manager_id=None)
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("suspended", "line_gone")
    join(pair)
    with pytest.raises(ConflictError, match="reporting_line"):
        resume()
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("suspended", "reporting_line")
    change(pair, pair.mentor, manager_id=None, status="terminated")
    with pytest.raises(ConflictError, match="not_at_work"):
        resume()
    change(pair, pair.mentor, status="active")
    for _ in range(2):
        resume()
    assert state(pair) == ("active", None)
    assert notices(pair, pair.mentee) == [interruptions.NEUTRAL_GOES_ON % {"name": "Mira Junior"}]


def test_manager_when_ending_a_pair_on_hold_frees_both_and_says_nothing_of_why(pair):
    def end() -> None:
        with pair.transaction() as db:
            interruptions.end_interrupted(db, pair.get(db), "command", pair.now)

    with pytest.raises(ConflictError, match="pairing_goes_on"):
        end()
    session = pair.plan(pair.mentor, pair.now + timedelta(days=2))
    join(pair)
    synced(pair.runtime, pair.tenant)
    end()
    with pytest.raises(ConflictError, match="already_ended"):
        end()
    with pytest.raises(ConflictError, match="pairing_ended"), pair.transaction() as db:
        interruptions.resume(db, pair.get(db), "command", pair.now)
    assert state(pair) == ("ended", None)
    jobs.work_outbox(pair.runtime)
    assert pair.rows(MentoringSession, id=session.id)[0].state == "cancelled"
    for person, partner in ((pair.mentor, pair.mentee), (pair.mentee, pair.mentor)):
        told = notices(pair, person)[-1]
        assert told == ending.NEUTRAL_ENDED % {"name": partner.display_name}
        with pair.transaction() as db:
            assert find_enrolment(db, pair.programme.id, person.id).active_pairings == 0


def test_sessions_when_on_hold_cannot_be_booked_moved_or_confirmed_and_nothing_confirmed_is_lost(pair):
    confirmed = pair.hold(hours_ago=3)
    pair.claim(confirmed, pair.mentor, 60)
    pair.claim(confirmed, pair.mentee, 60)
    jobs.work_outbox(pair.runtime)
    pair.agree()
    half = pair.hold(hours_ago=1.5)
    pair.claim(half, pair.mentor, 45)
    join(pair)
    synced(pair.runtime, pair.tenant)
    for forbidden in (
        lambda: pair.hold(hours_ago=5),
        lambda: pair.claim(half, pair.mentee, 45),
        lambda: pair.add_goal(pair.mentor),
        lambda: pair.propose(pair.mentor),
    ):
        with pytest.raises(ConflictError, match="pairing_on_hold"):
            forbidden()
    assert pair.rows(MentoringSession, id=confirmed.id)[0].counted_minutes == 60
    assert sorted(entry.minutes for entry in pair.rows(CreditEntry)) == [60, 60]
    change(pair, pair.mentor, manager_id=None)
    with pair.transaction() as db:
        interruptions.resume(db, pair.get(db), "command", pair.now)
    assert pair.claim(half, pair.mentee, 45).state == "confirmed"


def test_planned_session_when_on_hold_can_be_cancelled(pair):
    session = pair.plan(pair.mentor, pair.now + timedelta(days=2))
    change(pair, pair.mentor, status="suspended")
    synced(pair.runtime, pair.tenant)
    with pair.transaction() as db:
        sessions.cancel(db, db.get_one(MentoringSession, session.id), pair.mentee.id, pair.now)
    assert pair.rows(MentoringSession, id=session.id)[0].state == "cancelled"


def test_pair_on_hold_when_matching_runs_keeps_its_places(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    pairing = scene.pair_up("Ana", "Pia")
    with scene.transaction() as db:
        db.get_one(Person, scene.Ana.id).manager_id = scene.Pia.id
    synced(runtime, tenant)
    with scene.transaction() as db:
        assert db.get_one(Pairing, pairing.id).state == "suspended"
        assert [member.places for member in queries.list_pool(db, scene.programme.id)] == [0, 0]


@pytest.mark.parametrize("released", [True, False])
def test_open_proposal_when_a_line_joins_the_two_is_void_and_both_are_told_neutrally(
    runtime, tenant, released
):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    run_id = scene.run()
    if released:
        scene.release(run_id)
    joined, other = sorted(scene.live(run_id))
    mentor, mentee = (scene.people[name] for name in joined)
    with scene.transaction() as db:
        db.get_one(Person, mentor.id).manager_id = mentee.id
    synced(runtime, tenant)
    rows = scene.proposals(run_id)
    assert (rows[joined].state, rows[joined].reasons["left_out"]) == ("void", ["reporting_line"])
    assert rows[other].state == ("released" if released else "proposed")
    with scene.transaction() as db:
        told = [[notice.kind for notice in unread(db, person.id)] for person in (mentor, mentee)]
    assert told == ([["proposal_closed"]] * 2 if released else [[], []])


def test_open_proposal_when_one_has_left_is_void_with_the_roster_run(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    scene.release(run_id)
    with scene.transaction() as db:
        db.get_one(Person, scene.Ana.id).status = "terminated"
    synced(runtime, tenant)
    assert scene.proposals(run_id)["Ana", "Pia"].state == "void"


def test_archived_programme_when_people_leave_is_left_alone(pair):
    with pair.transaction() as db:
        db.get_one(Programme, pair.programme.id).state = "archived"
    change(pair, pair.mentor, status="terminated")
    synced(pair.runtime, pair.tenant)
    assert state(pair) == ("active", None)
    assert notices(pair, pair.mentee) == []


def test_other_tenant_when_a_roster_was_read_is_never_touched(runtime, tenant, other_tenant):
    mine, theirs = make_pair(runtime, tenant), make_pair(runtime, other_tenant)
    change(theirs, theirs.mentor, status="terminated")
    # A row that ought not to be: somebody of another company stands between the two.
    change(mine, mine.mentor, manager_id=theirs.mentor.id)
    change(theirs, theirs.mentor, manager_id=mine.mentee.id)
    synced(runtime, tenant)
    assert state(mine) == state(theirs) == ("active", None)
    assert tasks.check_presence(runtime) == 1
    assert state(theirs) == ("paused", "not_at_work")


def test_nightly_checks_when_no_roster_was_read_find_the_same(runtime, tenant):
    line, left = make_pair(runtime, tenant), make_pair(runtime, tenant)
    join(line)
    change(left, left.mentee, lifecycle="tombstoned")
    make_worker(runtime)
    registered = {str(task).split(".")[-1] for task in runtime.queue._registry._registry}
    assert {"nightly_firewall", "nightly_presence"} <= registered
    assert (tasks.check_firewall(runtime), tasks.check_presence(runtime)) == (1, 1)
    assert (state(line)[0], state(left)[0]) == ("suspended", "paused")


def test_workers_when_two_read_the_same_event_tell_everybody_once(pair):
    join(pair)
    ready = threading.Barrier(2)

    def work(_number) -> int:
        ready.wait(5)
        with pair.transaction() as db:
            return interruptions.check_firewall(db, pair.now) + interruptions.check_presence(db, pair.now)

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(work, range(2))) == [0, 1]
    assert len(pair.rows(Notice, kind="pairing_state")) == 2


@contextmanager
def counted(database):
    """Count the statements that are sent."""
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def add_pairs(db, tenant, programme, run, count, now) -> None:
    """Add pairs of which a third each has a line, a leaver, and a line between two who have a proposal."""
    template = make_person(db)
    plain = {column.name: getattr(template, column.name) for column in Person.__table__.columns}
    people, proposals, pairings = [], [], []
    for number in range(count):
        mentor, mentee = new_id(), new_id()
        kind = ("line", "left", "proposal")[number % 3]
        key = f"{count}-{number}"
        people.append({**plain, "id": mentee, "source_key": f"e{key}"})
        changes = {"status": "terminated"} if kind == "left" else {"manager_id": mentee}
        people.append({**plain, "id": mentor, "source_key": f"r{key}", **changes})
        both = {
            "tenant_id": tenant.id,
            "programme_id": programme.id,
            "mentor_id": mentor,
            "mentee_id": mentee,
        }
        proposal = new_id()
        proposals.append(
            {**both, "id": proposal, "run_id": run.id, "score": 1, "contributions": {}, "reasons": {}}
            | {"state": "released" if kind == "proposal" else "accepted", "created_at": now, "pinned": False}
        )
        if kind != "proposal":
            pairings.append(
                {**both, "id": new_id(), "proposal_id": proposal, "state": "active", "started_at": now}
            )
    for table, rows in ((Person, people), (Proposal, proposals), (Pairing, pairings)):
        db.execute(insert(table), rows)


def test_consequences_when_there_are_many_pairs_take_no_more_statements(runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        programme = make_programme(db)
        run = MatchRun(
            programme_id=programme.id, state="released", objective="total", rules={}, weights={},
            metrics={}, created_by="command", created_at=runtime.clock(),
        )  # fmt: skip
        db.add(run)
    numbers = []
    for count in (6, 120):
        with runtime.database.transaction(tenant.id) as db:
            add_pairs(db, tenant, programme, run, count, runtime.clock())
        with counted(runtime.database) as sent:
            synced(runtime, tenant)
        numbers.append(len(sent))
    with runtime.database.transaction(tenant.id) as db:
        states = db.scalars(select(Pairing.state)).all()
        assert {name: states.count(name) for name in LIVE} == {"active": 0, "paused": 42, "suspended": 42}
        assert set(db.scalars(select(Proposal.state))) == {"accepted", "void"}
    assert numbers[1] <= numbers[0] + 1, numbers


@pytest.mark.parametrize("seed", range(2))
def test_line_in_the_database_when_compared_finds_what_the_matching_finds(runtime, tenant, seed):
    chance = random.Random(seed)
    scene = make_scene(runtime, tenant, "Ana Ben Cy Dee", "Pia Qin Rex Sue")
    with scene.transaction() as db:
        people = [
            *(db.get_one(Person, one.id) for one in scene.people.values()),
            *(make_person(db) for _ in range(6)),
        ]
        for person in people:
            # Circles of managers among them: a bad file has such.
            boss = chance.choice([None, *people])
            person.manager_id = boss.id if boss is not None and boss is not person else None
        tour = number_reporting_lines(
            {str(one.id): str(one.manager_id) if one.manager_id else None for one in people}
        )
        run = MatchRun(
            programme_id=scene.programme.id, state="solved", objective="total", rules={}, weights={},
            metrics={}, created_by="command", created_at=runtime.clock(),
        )  # fmt: skip
        db.add(run)
        db.flush()
        expected = set()
        for low in people[:7]:
            for high in people[7:]:
                proposal = Proposal(
                    run_id=run.id, programme_id=scene.programme.id, mentor_id=low.id, mentee_id=high.id,
                    state="proposed", score=1, contributions={}, reasons={}, created_at=runtime.clock(),
                )  # fmt: skip
                db.add(proposal)
                db.flush()
                (a, b), (c, d) = tour[str(low.id)], tour[str(high.id)]
                if a <= c <= b or c <= a <= d:
                    expected.add(proposal.id)
        assert set(db.scalars(queries.in_one_line(Proposal))) == expected
        assert expected


def test_command_when_it_answers_has_suspended_and_paused_what_the_roster_asks_for(
    runtime, tenant, settings, tmp_path
):
    commands = Commands.of(settings)
    path = tmp_path / "roster.csv"

    def write(*rows: str) -> None:
        path.write_text("Employee Number,Name,Email,Manager,Status\n" + "\n".join(rows), encoding="utf-8")

    write(
        "1,Mira Junior,m@example.com,,Active",
        "2,Sven Senior,s@example.com,,Active",
        "3,Lea,l@example.com,,Active",
    )
    commands.do("hris", "add", "people", "--connector", "csv_file", "--set", f"path={path}")
    commands.do("hris", "sync", "people", "--accept-shrink")
    pair = make_pair(runtime, tenant)
    with pair.transaction() as db:
        known = {
            row.employee_number: row for row in db.scalars(select(Person).where(Person.employee_number < "3"))
        }
        pairing = pair.get(db)
        pairing.mentor_id, pairing.mentee_id = known["1"].id, known["2"].id
    write(
        "1,Mira Junior,m@example.com,3,Active",
        "2,Sven Senior,s@example.com,,Active",
        "3,Lea,l@example.com,2,Active",
    )
    commands.do("hris", "sync", "people")
    assert state(pair) == ("suspended", "reporting_line")

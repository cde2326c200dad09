"""Two people who do the same thing at the same moment, and people who leave while they are signed in."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import select

from rmplugin.errors import ConflictError
from rmplugin.matching import operations, queries, releasing, store
from rmplugin.matching.models import Proposal
from rmplugin.notify import unread
from rmplugin.people import store as people_store
from rmplugin.people.linking import link_by_hand, undo_link
from rmplugin.people.models import LtiUser, Person
from rmplugin.people.operations import apply_roster, begin_run
from rmplugin.people.roster import Staging
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.programmes.queries import find_enrolment
from rmplugin.records import EmployeeRecord, RosterPage
from rmplugin.tenants.models import HrAccount, LtiPlatform
from tests.factories.identity import join, see
from tests.factories.matching import add_mentor, make_scene
from tests.factories.pairs import GOAL, make_pair
from tests.factories.people import make_person
from tests.factories.programmes import make_context, make_programme


def archive(scene) -> None:
    with scene.transaction() as db:
        db.get_one(Programme, scene.programme.id).state = "archived"


def test_invite_when_managers_do_it_at_once_each_person_is_invited_once(runtime, tenant, sign_in):
    with runtime.database.transaction(tenant.id) as db:
        programme = make_programme(db)
        for number in range(20):
            make_person(db, given_name=f"P{number}", hire_date=date(2026, 3, 2))
    managers = [sign_in(tenant, None, manager=True) for _ in range(4)]

    def invite(manager) -> int:
        return manager.post(f"/programmes/{programme.id}/invite-all", role="mentor").status

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(invite, managers)) == {200}
    with runtime.database.transaction(tenant.id) as db:
        assert len(db.scalars(select(Enrolment)).all()) == 20


def test_drop_while_another_manager_releases_is_never_half_done(runtime, tenant, monkeypatch):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    run_id = scene.run()
    proposal = next(iter(scene.proposals(run_id).values()))
    reading, load_pool = threading.Event(), store.load_pool

    def slow(*arguments, **options):
        reading.set()
        # The drop gets its chance; it must wait for the release or be over already.
        dropped.wait(1)
        return load_pool(*arguments, **options)

    dropped = threading.Event()

    def drop() -> bool:
        reading.wait(10)
        try:
            with scene.transaction() as db:
                operations.drop_proposal(
                    db, queries.get_proposal(db, proposal.id), "command", runtime.clock()
                )
        except ConflictError:
            return False
        finally:
            dropped.set()
        return True

    monkeypatch.setattr(store, "load_pool", slow)
    with ThreadPoolExecutor(2) as threads:
        dropping, letting_go = threads.submit(drop), threads.submit(scene.release, run_id)
        letting_go.result()
        said_dropped = dropping.result()
    with scene.transaction() as db:
        state = queries.get_proposal(db, proposal.id).state
    assert state == ("dropped" if said_dropped else "released")


def test_release_when_the_programme_was_archived_sends_nothing(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    archive(scene)
    with pytest.raises(ConflictError, match="programme_archived"):
        scene.release(run_id)


def test_yes_when_the_programme_was_archived_starts_no_pairing(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    scene.release(run_id)
    proposal = scene.proposals(run_id)["Ana", "Pia"]
    scene.answer(proposal, scene.Ana, yes=True)
    archive(scene)
    assert scene.answer(proposal, scene.Pia, yes=True).state == "void"


def test_proposals_when_the_programme_is_archived_are_closed_by_the_worker(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    scene.release(scene.run())
    archive(scene)
    with scene.transaction() as db:
        assert releasing.close_stale_proposals(db, runtime.clock()) == 1
        assert db.scalars(select(Proposal.state)).all() == ["void"]
        assert [notice.kind for notice in unread(db, scene.Ana.id)] == ["proposal_closed"]


def test_form_with_a_character_that_no_database_keeps_is_stored_without_it(runtime, tenant, sign_in):
    pair = make_pair(runtime, tenant)
    browser = sign_in(tenant, pair.mentor)
    browser.post(f"{pair.path}/goals", **{**GOAL, "title": "Lis\0ten", "due_on": "2027-06-04"})
    assert browser.status == 200
    assert "Listen" in browser.get(pair.path).says()


def test_agreement_when_written_again_is_announced_once_and_not_after_signing(runtime, tenant, sign_in):
    pair = make_pair(runtime, tenant)
    for words in ("first", "second", "third"):
        agreement = pair.propose(pair.mentor, hopes=words)
    with pair.transaction() as db:
        assert [notice.text for notice in unread(db, pair.mentee.id)] == [
            "Version 3 of your mentoring agreement is ready. Please read it and sign it."
        ]
    pair.sign(agreement, pair.mentee)
    with pair.transaction() as db:
        assert not unread(db, pair.mentee.id)


@pytest.mark.parametrize("status", ["terminated", "suspended", "absent"])
def test_open_page_when_hr_says_the_person_left_asks_to_launch_again(runtime, tenant, sign_in, clock, status):
    with runtime.database.transaction(tenant.id) as db:
        stays, leaves = (make_person(db, given_name=name) for name in ("Ana", "Ben"))
        leaves.account_id = stays.account_id
    browser, other = sign_in(tenant, leaves), sign_in(tenant, stays)
    assert browser.get("/home").status == 200
    records = [
        EmployeeRecord(
            source_key=row.source_key,
            ref=row.source_key,
            given_name=row.given_name,
            status=word,
            email=row.email,
        )
        for row, word in ((stays, "active"), (leaves, status))
        if word != "absent"
    ]
    with runtime.database.transaction(tenant.id) as db, Staging({}, clock.now) as staging:
        account = db.get_one(HrAccount, stays.account_id)
        staging.add_page(RosterPage(records, gone=[leaves.source_key] if status == "absent" else []))
        run = begin_run(db, account, "full", clock.now)
        report = apply_roster(db, run, staging, clock.now, everybody=True, accept_shrink=True)
        assert report.status == "complete"
        assert db.get_one(Person, leaves.id).is_working is False
    assert browser.get("/home").status == 401
    assert other.get("/home").status == 200


def test_proposal_when_hr_says_that_one_of_the_two_left_is_closed_by_the_worker(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    scene.release(scene.run())
    with scene.transaction() as db:
        assert releasing.close_stale_proposals(db, runtime.clock()) == 0
        db.get_one(Person, scene.Ana.id).lifecycle = "tombstoned"
        db.flush()
        assert releasing.close_stale_proposals(db, runtime.clock()) == 1
        assert [notice.text for notice in unread(db, scene.Pia.id)] == [releasing.NEUTRAL_CLOSED]


def test_capacity_when_lowered_after_the_release_keeps_the_first_that_both_want(runtime, tenant):
    scene = make_scene(runtime, tenant, "", "Pia Qin")
    with scene.transaction() as db:
        scene.people["Ana"] = add_mentor(db, scene.programme, "Ana", runtime.clock(), capacity=2)
    run_id = scene.run()
    assert scene.release(run_id) == (2, 0)
    with scene.transaction() as db:
        find_enrolment(db, scene.programme.id, scene.Ana.id).capacity = 1
    states = []
    for name in ("Pia", "Qin"):
        proposal = scene.proposals(run_id)["Ana", name]
        scene.answer(proposal, scene.Ana, yes=True)
        states.append(scene.answer(proposal, scene.people[name], yes=True).state)
    assert states == ["accepted", "void"]


class Decisions:
    """Two managers who decide about the same people: the second reads before the first has written."""

    def __init__(self, runtime, tenant) -> None:
        self.runtime, self.tenant = runtime, tenant
        self.now = runtime.clock()
        self.barrier = threading.Barrier(2)
        with self.db() as db:
            self.context = make_context(db)
            self.ada, self.ben = (make_person(db, display_name=name) for name in ("Ada", "Ben"))
            known = {"link_state": "confirmed", "link_source": "custom", "link_problem": None}
            self.one = join(db, self.context, "1", self.now, person_id=self.ada.id, **known)
            self.two = join(db, self.context, "2", self.now)
            self.three = join(db, self.context, "3", self.now)

    def db(self):
        return self.runtime.database.transaction(self.tenant.id)

    def link(self, db, user, person) -> None:
        user, person = db.get_one(LtiUser, user.id), db.get_one(Person, person.id)
        self.meet()
        link_by_hand(db, self.context.id, user, person, "command", self.now)

    def undo(self, db, user) -> None:
        user = db.get_one(LtiUser, user.id)
        self.meet()
        undo_link(db, user, "command", self.now)

    def meet(self) -> None:
        # SQLite lets in one writer at a time, so nobody else comes.
        with contextlib.suppress(threading.BrokenBarrierError):
            self.barrier.wait(1)

    def at_once(self, *decisions) -> None:
        self.barrier = threading.Barrier(len(decisions))

        def decide(decision) -> None:
            with self.db() as db:
                decision(db)

        with ThreadPoolExecutor(len(decisions)) as threads:
            list(threads.map(decide, decisions))

    def found(self, user) -> tuple:
        with self.db() as db:
            user = db.get_one(LtiUser, user.id)
            return user.link_state, user.person_id


def test_person_when_two_managers_link_them_at_once_goes_to_one_user(runtime, tenant):
    scene = Decisions(runtime, tenant)
    scene.at_once(
        lambda db: scene.link(db, scene.two, scene.ben), lambda db: scene.link(db, scene.three, scene.ben)
    )
    found = {scene.found(scene.two), scene.found(scene.three)}
    assert found == {("confirmed", scene.ben.id), ("revoked", None)}


def test_user_when_linked_and_undone_at_once_is_as_one_manager_said(runtime, tenant):
    scene = Decisions(runtime, tenant)
    scene.at_once(lambda db: scene.link(db, scene.one, scene.ben), lambda db: scene.undo(db, scene.one))
    assert scene.found(scene.one) in (("confirmed", scene.ben.id), ("revoked", None))


@pytest.mark.parametrize("actor", [None, "worker"])
def test_decision_of_a_manager_when_the_lms_speaks_of_the_user_at_once_stays(
    runtime, tenant, monkeypatch, actor
):
    scene = Decisions(runtime, tenant)
    with scene.db() as db:
        db.get_one(Person, scene.ada.id).employee_number = "E-1"
        db.get_one(LtiUser, scene.one.id).person_id = None
        db.get_one(LtiUser, scene.one.id).link_state = "unlinked"
    find_people, decided = people_store._find_people, threading.Event()

    def slow(*arguments):
        # The user has been read; now the manager gets a chance.
        scene.meet()
        decided.wait(1)
        return find_people(*arguments)

    def decide() -> None:
        scene.meet()
        with scene.db() as db:
            one, ben = db.get_one(LtiUser, scene.one.id), db.get_one(Person, scene.ben.id)
            link_by_hand(db, scene.context.id, one, ben, "command", scene.now)
        decided.set()

    monkeypatch.setattr(people_store, "_find_people", slow)
    with ThreadPoolExecutor(1) as threads:
        deciding = threads.submit(decide)
        with scene.db() as db:
            platform = db.get_one(LtiPlatform, scene.context.platform_id)
            people_store.link_users(db, platform, [see("1", custom="E-1")], scene.now, actor=actor)
        deciding.result()
    assert scene.found(scene.one) == ("confirmed", scene.ben.id)

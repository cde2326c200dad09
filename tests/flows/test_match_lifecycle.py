"""After the release: reminders, taking back, those who wait, reasons by version of the rules."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.jobs import work_outbox
from rmplugin.matching import counting, operations, queries, releasing, tasks, words
from rmplugin.matching.models import MatchRun, Proposal
from rmplugin.notify import Notice, unread
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import find_enrolment
from rmplugin.wiring import make_worker
from tests.factories.matching import Scene, add_mentee, add_mentor, make_scene
from tests.factories.people import make_person
from tests.factories.programmes import make_context
from tests.flows.test_match_rules import put_in_force


def notices(scene: Scene, name: str) -> list[tuple[str, str]]:
    with scene.transaction() as db:
        return [(notice.kind, notice.text) for notice in unread(db, scene.people[name].id)]


def release(scene: Scene):
    run_id = scene.run()
    scene.release(run_id)
    return run_id


def withdraw(scene: Scene, run_id) -> int:
    with scene.transaction() as db:
        return releasing.withdraw_run(db, queries.get_run(db, run_id), "command", scene.runtime.clock())


def withdraw_one(scene: Scene, proposal: Proposal) -> None:
    with scene.transaction() as db:
        row = queries.get_proposal(db, proposal.id)
        releasing.withdraw_proposal(db, row, "command", scene.runtime.clock())


# --- a large run is released by the worker -----------------------------------------------------------------


def test_large_run_when_released_is_left_to_the_worker_and_meanwhile_nothing_else_changes_it(
    runtime, tenant, sign_in, monkeypatch
):
    monkeypatch.setattr(counting, "FEW", 1)
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    manager = sign_in(tenant, manager=True)
    run_id = scene.run()
    row = next(iter(scene.proposals(run_id).values()))
    manager.get(f"/runs/{run_id}/release").submit("/release")
    manager.get(f"/runs/{run_id}")
    assert "The proposals are being released" in manager.says()
    assert "hx-trigger" in manager.text
    assert f"/proposals/{row.id}/pin" not in manager.text
    assert notices(scene, "Ana") == []
    desk = f"/programmes/{scene.programme.id}/matching"
    for path in (f"/proposals/{row.id}/pin", f"/runs/{run_id}/release", f"/runs/{run_id}/undo", desk):
        manager.post(path)
        assert (manager.status, "is being released" in manager.says()) == (409, True), path
    work_outbox(runtime)
    assert [kind for kind, _ in notices(scene, "Ana")] == ["proposal"]
    assert "hx-trigger" not in manager.get(f"/runs/{run_id}").text
    assert "Nobody has answered yet" in manager.says()
    work_outbox(runtime)
    assert len(notices(scene, "Pia")) == 1


def test_large_run_when_its_release_is_stopped_half_way_is_released_once_or_not_at_all(
    runtime, tenant, monkeypatch
):
    monkeypatch.setattr(counting, "FEW", 1)
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    with scene.transaction() as db:
        run = queries.get_run(db, run_id)
        assert releasing.ask_release(db, run, "command", runtime.clock()) is None
    payload = {"run_id": str(run_id), "actor": "command"}

    def stopped() -> None:
        with scene.transaction() as db:
            releasing.on_release_wanted(db, payload, runtime.clock())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (scene.get_run(run_id).state, notices(scene, "Ana")) == ("solved", [])
    for _twice in range(2):
        work_outbox(runtime)
    assert len(notices(scene, "Ana")) == 1


# --- the reminder ------------------------------------------------------------------------------------------


def test_whoever_has_not_answered_is_reminded_once_when_a_quarter_is_left(runtime, tenant, clock):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    put_in_force(scene, answer_days=8)
    row = scene.proposals(release(scene))["Ana", "Pia"]
    scene.answer(row, scene.Ana, yes=True)
    clock.forward(days=5, hours=23)
    tasks.expire_due(runtime)
    assert "We found somebody" in notices(scene, "Pia")[0][1]
    clock.forward(hours=1)
    for _round in range(3):
        tasks.expire_due(runtime)
        clock.forward(hours=5)
    assert [kind for kind, _ in notices(scene, "Pia")] == ["proposal"], "it takes the invitation's place"
    assert "waits for you" in notices(scene, "Pia")[0][1]
    assert not [text for _, text in notices(scene, "Ana") if "waits for you" in text]
    with scene.transaction() as db:
        told = db.scalars(select(Notice).where(Notice.person_id == scene.Pia.id)).all()
        assert queries.get_proposal(db, row.id).reminded_at is not None
    assert len(told) == 2


@pytest.mark.parametrize(("days", "hours"), [(2, 24), (1, None)])
def test_reminder_comes_at_least_a_day_before_the_end_or_not_at_all(runtime, tenant, clock, days, hours):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    put_in_force(scene, answer_days=days)
    row = scene.proposals(release(scene))["Ana", "Pia"]
    assert row.remind_at == (None if hours is None else row.expires_at - timedelta(hours=hours))


def test_proposal_whose_time_is_over_is_closed_and_not_reminded_of(runtime, tenant, clock):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    release(scene)
    clock.forward(days=20)
    assert tasks.expire_due(runtime) == 1
    assert [kind for kind, _ in notices(scene, "Pia")] == ["proposal_closed"]


# --- taking back -------------------------------------------------------------------------------------------


def test_release_is_taken_back_told_once_and_can_be_released_again(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    run_id = release(scene)
    row = next(iter(scene.proposals(run_id).values()))
    assert withdraw(scene, run_id) == 2
    run = scene.get_run(run_id)
    assert (run.state, run.released_at) == ("solved", None)
    assert {pair.state for pair in scene.proposals(run_id).values()} == {"proposed"}
    for name in scene.people:
        assert notices(scene, name) == [("proposal_withdrawn", releasing.NEUTRAL_TAKEN_BACK)]
    with scene.transaction() as db, pytest.raises(NotFoundError):
        queries.get_proposal_of(db, row.id, row.mentor_id)
    with pytest.raises(ConflictError, match="not_released"):
        withdraw(scene, run_id)
    assert scene.release(run_id) == (2, 0)
    assert [kind for kind, _ in notices(scene, "Pia")] == ["proposal_withdrawn", "proposal"]


@pytest.mark.parametrize("yes", [True, False])
def test_release_that_somebody_answered_is_not_taken_back(runtime, tenant, yes):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    run_id = release(scene)
    (names, answered), (_, other) = scene.proposals(run_id).items()
    scene.answer(answered, scene.people[names[0]], yes=yes)
    with pytest.raises(ConflictError, match="answered"):
        withdraw(scene, run_id)
    assert scene.get_run(run_id).state == "released"
    with pytest.raises(ConflictError):
        withdraw_one(scene, answered)
    withdraw_one(scene, other)
    with scene.transaction() as db:
        row = queries.get_proposal(db, other.id)
    assert (row.state, row.reasons["left_out"]) == ("void", ["withdrawn"])
    assert "withdrawn" in words.PAIR_FAULTS
    with pytest.raises(ConflictError, match="nothing_to_withdraw"):
        withdraw_one(scene, other)


def test_taken_back_pair_can_be_proposed_again(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = scene.proposals(release(scene))["Ana", "Pia"]
    withdraw_one(scene, row)
    assert scene.live(scene.run()) == {("Ana", "Pia")}


def test_release_taken_back_while_a_newer_run_is_open_gives_way_to_it(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    first = release(scene)
    with scene.transaction() as db:
        add_mentor(db, scene.programme, "Ben", runtime.clock())
        add_mentee(db, scene.programme, "Qin", runtime.clock())
    second = scene.run()
    withdraw(scene, first)
    assert scene.get_run(first).state == "dropped"
    assert scene.proposals(first)["Ana", "Pia"].state == "void"
    assert scene.get_run(second).state == "solved"


def test_answer_after_the_release_was_taken_back_is_not_found(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = release(scene)
    row = scene.proposals(run_id)["Ana", "Pia"]
    withdraw(scene, run_id)
    with pytest.raises(NotFoundError):
        scene.answer(row, scene.Ana, yes=True)


def test_answer_and_taking_back_at_the_same_moment_are_never_both(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = release(scene)
    row = scene.proposals(run_id)["Ana", "Pia"]
    start = threading.Barrier(2)

    def try_to(deed) -> bool:
        start.wait()
        try:
            deed()
        except (ConflictError, NotFoundError):
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        answered = threads.submit(try_to, lambda: scene.answer(row, scene.Ana, yes=True))
        taken_back = threads.submit(try_to, lambda: withdraw(scene, run_id))
    assert answered.result() != taken_back.result()
    after = scene.proposals(run_id)["Ana", "Pia"]
    assert (after.state, after.mentor_answer) == (
        ("released", "yes") if answered.result() else ("proposed", None)
    )


def test_manager_takes_a_release_back_on_its_page(runtime, tenant, sign_in):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    manager = sign_in(tenant, manager=True)
    run_id = release(scene)
    manager.get(f"/runs/{run_id}")
    assert "Nobody has answered yet" in manager.says()
    row = next(iter(scene.proposals(run_id).values()))
    manager.post(f"/proposals/{row.id}/withdraw")
    assert "The proposal was taken back before anybody had answered." in manager.says()
    manager.submit("/withdraw")
    assert "Proposals taken back: 1." in manager.says()
    assert scene.get_run(run_id).state == "solved"


# --- those who wait ----------------------------------------------------------------------------------------


def run_waiting(scene: Scene):
    with scene.transaction() as db:
        run = operations.start_run(db, scene.programme, "command", scene.runtime.clock(), scope="waiting")
    tasks.run(scene.runtime, scene.tenant.id, run.id)
    return run.id


def test_those_who_wait_are_matched_and_pairs_and_open_proposals_stay(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    with scene.transaction() as db:
        for person in (scene.Ana, scene.Pia):
            find_enrolment(db, scene.programme.id, person.id).capacity = 3
    pairing = scene.pair_up("Ana", "Pia")
    with scene.transaction() as db:
        scene.people["Ben"] = add_mentor(db, scene.programme, "Ben", runtime.clock())
        scene.people["Qin"] = add_mentee(db, scene.programme, "Qin", runtime.clock())
    run_id = run_waiting(scene)
    assert scene.live(run_id) == {("Ben", "Qin")}, "Ana and Pia have places left, but do not wait"
    run = scene.get_run(run_id)
    assert (run.scope, run.mentors, run.mentees) == ("waiting", 1, 1)
    with scene.transaction() as db:
        assert queries.get_pairing(db, pairing.id).state == "active"
    scene.release(run_id)
    with pytest.raises(ConflictError, match="nobody_waits"):
        run_waiting(scene)
    assert {row.state for row in scene.proposals(run_id).values()} == {"released"}


def test_those_who_wait_and_fit_nobody_leave_everything_as_it_was(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    with scene.transaction() as db:
        find_enrolment(db, scene.programme.id, scene.Pia.id).capacity = 2
        add_mentor(db, scene.programme, "Ben", runtime.clock(), languages=["fr"])
        add_mentee(db, scene.programme, "Qin", runtime.clock(), languages=["it"])
    release(scene)
    with scene.transaction() as db:
        open_run = operations.start_run(db, scene.programme, "command", runtime.clock()).id
    tasks.run(runtime, tenant.id, open_run)
    failed = scene.get_run(run_waiting(scene))
    assert (failed.state, failed.failure) == ("failed", operations.NOBODY_TO_PLACE)
    assert scene.get_run(open_run).state == "solved"


def weekly(scene: Scene) -> int:
    """Do what the worker does at night; give how many runs started."""
    return tasks.rerun_waiting(scene.runtime)


def test_weekly_run_starts_when_a_week_has_passed_and_waits_for_its_release(runtime, tenant, clock):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    put_in_force(scene, rerun="weekly")
    assert weekly(scene) == 0, "the first run is the manager's"
    scene.pair_up("Ana", "Pia")
    with scene.transaction() as db:
        add_mentor(db, scene.programme, "Ben", clock())
        add_mentee(db, scene.programme, "Qin", clock())
    clock.forward(days=3)
    assert weekly(scene) == 0
    clock.forward(days=4)
    assert weekly(scene) == 1
    tasks.run_queued(runtime)
    with scene.transaction() as db:
        run = db.scalars(select(MatchRun).where(MatchRun.scope == "waiting")).one()
    assert (run.state, run.created_by) == ("solved", "worker")
    assert scene.live(run.id) == {("Ben", "Qin")}
    assert {row.state for row in scene.proposals(run.id).values()} == {"proposed"}
    clock.forward(days=8)
    assert weekly(scene) == 0, "one waits for its release already"


def test_weekly_run_does_not_start_when_nobody_could_be_placed_or_nobody_wants_it(runtime, tenant, clock):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    put_in_force(scene, rerun="weekly")
    scene.pair_up("Ana", "Pia")
    with scene.transaction() as db:
        add_mentor(db, scene.programme, "Ben", clock(), languages=["fr"])
        add_mentee(db, scene.programme, "Qin", clock(), languages=["it"])
    clock.forward(days=8)
    assert weekly(scene) == 0
    with scene.transaction() as db:
        add_mentee(db, scene.programme, "Rui", clock(), languages=["fr"])
    put_in_force(scene, rerun="off")
    assert weekly(scene) == 0
    put_in_force(scene, rerun="weekly")
    with scene.transaction() as db:
        db.get_one(Programme, scene.programme.id).state = "concluding"
    assert weekly(scene) == 0


def test_weekly_run_is_a_task_of_the_worker(runtime, tenant):
    make_worker(runtime)
    assert "nightly_rerun" in {task.name for task in runtime.queue._registry.periodic_tasks}


# --- reasons by version ------------------------------------------------------------------------------------


def test_reasons_are_counted_by_version_and_small_versions_are_not_found_by_difference(runtime, tenant):
    scene = make_scene(runtime, tenant, "", "Pia")

    def decline(version: int, count: int, reason: str = "time") -> None:
        with scene.transaction() as db:
            run = MatchRun(
                programme_id=scene.programme.id, state="released", objective="total", rules={}, weights={},
                metrics={}, rule_set_version=version, created_by="command", created_at=runtime.clock(),
            )  # fmt: skip
            db.add(run)
            db.flush()
            for _k in range(count):
                db.add(
                    Proposal(
                        run_id=run.id,
                        programme_id=scene.programme.id,
                        mentor_id=make_person(db).id,
                        mentee_id=scene.Pia.id,
                        state="declined",
                        decline_reason=reason,
                        score=1,
                        contributions={},
                        reasons={},
                        created_at=runtime.clock(),
                    )
                )

    def counts():
        with scene.transaction() as db:
            return queries.decline_counts_by_version(db, scene.programme.id)

    decline(1, 4)
    assert counts() == {}
    decline(1, 2, "relevance")
    decline(2, 7)
    # Small reasons are hidden, and count five at a time.
    assert counts() == {1: {}, 2: {"time": 5}}
    decline(3, 2)
    assert counts() == {2: {"time": 5}}, "all minus 1 and 2 would tell version 3"
    decline(3, 3)
    assert set(counts()) == {1, 2, 3}


# --- the home page -----------------------------------------------------------------------------------------


def test_open_short_list_is_the_next_step_of_who_waits(runtime, tenant, sign_in):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    with scene.transaction() as db:
        context = make_context(db)
        db.get_one(Programme, scene.programme.id).context_id = context.id
    browser = sign_in(tenant, scene.Ana, context=context)
    assert "short list" not in browser.get("/home").says()
    put_in_force(scene, self_service=True, wishes=9000)
    browser.get("/home")
    assert "See your short list" in browser.says()
    assert f'href="/programmes/{scene.programme.id}/short-list"' in browser.text
    scene.run()
    desk = sign_in(tenant, manager=True, context=context).get("/manage")
    assert "A matching is ready." in desk.says()

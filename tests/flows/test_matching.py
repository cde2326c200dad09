"""The matching from the pool to the pairing, on a real database."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.jobs import OutboxEvent, work_outbox
from rmplugin.matching import documents, lists, operations, queries, releasing, store, tasks, verdicts, words
from rmplugin.matching.findings import compute
from rmplugin.matching.models import MatchRun, Pairing, Proposal
from rmplugin.notify import unread
from rmplugin.people.models import Person
from rmplugin.programmes.models import Enrolment
from rmplugin.programmes.operations import withdraw
from rmplugin.programmes.queries import find_enrolment
from rmplugin.wiring import make_worker
from tests.factories.matching import add_mentee, add_mentor, make_scene
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import OFFER, WANT


def notices(scene, name: str) -> list[str]:
    with scene.transaction() as db:
        return [notice.kind for notice in unread(db, scene.people[name].id)]


def test_run_solves_the_pool_and_accounts_for_everybody(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben Cem", "Pia Qin")
    run_id = scene.run()
    run = scene.get_run(run_id)
    assert (run.state, run.proved, run.gap, run.mentors, run.mentees) == ("solved", True, 0.0, 3, 2)
    rows = scene.proposals(run_id).values()
    assert len(rows) == 2
    matched = {person for row in rows for person in (row.mentor_id, row.mentee_id)}
    left = {uuid.UUID(entry["person"]) for entry in scene.left_out(run.id)}
    assert matched | left == {person.id for person in scene.people.values()}
    assert not matched & left
    assert all(entry["reason"] and entry["sentence"] for entry in scene.left_out(run.id))
    assert run.total_score == sum(row.score for row in rows)
    for row in rows:
        assert sum(row.contributions.values()) == row.score
        assert row.reasons["mentee"]["covered"] == [{"skill": OFFER, "wanted": 3, "offered": 3}]
        assert row.reasons["languages"] == ["en"]
        assert row.reasons["junior"] == ["grade", "tenure"]
    assert run.metrics["first_wishes_covered_share"] == 1.0
    assert run.metrics["matched_people"] == 4


def test_run_when_its_total_needs_more_than_32_bits_is_kept(runtime, tenant):
    # As of 20,000 pairs or so.
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    with scene.transaction() as db:
        queries.get_run(db, run_id).total_score = 4_000_000_000
    assert scene.get_run(run_id).total_score == 4_000_000_000


def test_run_twice_on_the_same_data_gives_the_same_pairs_and_digest(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben Cem Dua", "Pia Qin Rui")
    first, second = scene.run(), scene.run()
    assert scene.get_run(first).state == "dropped"
    assert scene.get_run(first).inputs_hash == scene.get_run(second).inputs_hash
    assert set(scene.proposals(first)) == set(scene.proposals(second))
    assert {row.state for row in scene.proposals(first).values()} == {"void"}


def test_start_while_another_run_is_queued_is_refused(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    scene.queue()
    with pytest.raises(ConflictError, match="run_queued"):
        scene.queue()


def test_run_done_twice_has_one_effect(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    tasks.run(runtime, tenant.id, run_id)
    assert len(scene.proposals(run_id)) == 1


def test_two_workers_that_computed_the_same_run_write_it_once(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.queue()
    with scene.transaction() as db:
        pool = store.load_pool(db, scene.programme, runtime.clock())
    found = compute(pool, "total", runtime.clock().date())
    wrote = []
    for _worker in range(2):
        with scene.transaction() as db:
            wrote.append(
                operations.record_proposals(db, run_id, pool, found, seconds=0.1, now=runtime.clock())
            )
    assert wrote == [True, False]
    assert len(scene.proposals(run_id)) == 1


def test_run_killed_before_the_record_is_done_by_the_next_round(runtime, tenant, monkeypatch):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.queue()

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(operations, "record_proposals", die)
        with pytest.raises(KeyboardInterrupt):
            tasks.run(runtime, tenant.id, run_id)
    assert scene.get_run(run_id).state == "queued"
    assert tasks.run_queued(runtime) == 1
    assert scene.get_run(run_id).state == "solved"
    assert len(scene.proposals(run_id)) == 1


def test_worker_round_computes_queued_runs(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.queue()
    make_worker(runtime)["work"].call_local()
    assert scene.get_run(run_id).state == "solved"


def test_run_with_an_empty_pool_says_that_nobody_is_there(runtime, tenant):
    scene = make_scene(runtime, tenant, "", "Pia")
    run = scene.get_run(scene.run())
    assert run.state == "solved"
    assert [(entry["reason"], entry["sentence"]) for entry in scene.left_out(run.id)] == [
        (
            "nobody_there",
            (
                "There are no mentors with a free place in the pool. One more mentor who offers “Generative "
                "AI tools” and keeps to the other rules would be enough."
            ),
        )
    ]


# --- the hard rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_reporting_line_at_any_depth_is_never_proposed(runtime, tenant, depth):
    scene = make_scene(runtime, tenant)
    with scene.transaction() as db:
        top = add_mentee(db, scene.programme, "Pia", runtime.clock())
        above = top
        for _step in range(depth - 1):
            above = make_leader(db, manager_id=above.id, manager_state="resolved")
        person = {"manager_id": above.id, "manager_state": "resolved"}
        add_mentor(db, scene.programme, "Ana", runtime.clock(), person=person)
    run_id = scene.run()
    assert scene.proposals(run_id) == {}
    left = scene.left_out(run_id)
    assert [entry["reason"] for entry in left] == ["reporting_line", "reporting_line"]
    assert "reporting line" in left[0]["sentence"]


def test_mentor_of_higher_grade_and_longer_tenure_is_never_proposed_and_cannot_be_pinned(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    with scene.transaction() as db:
        # Enrolled while junior; promoted since, and here for longer.
        senior = {"hire_date": date(2000, 1, 3)}
        scene.people["Old"] = add_mentor(db, scene.programme, "Old", runtime.clock())
        scene.people["Old"].hire_date = senior["hire_date"]
        scene.people["Old"].seniority_rank = 90
    run_id = scene.run()
    assert scene.live(run_id) == {("Ana", "Pia")}
    with scene.transaction() as db, pytest.raises(InputError) as error:
        operations.pin_pair(
            db, queries.get_run(db, run_id), scene.Old.id, scene.Pia.id, "command", runtime.clock()
        )
    assert words.PAIR_FAULTS["no_junior"] in error.value.message_for_user


def test_new_employee_of_any_age_or_grade_can_be_a_mentor(runtime, tenant):
    scene = make_scene(runtime, tenant, "", "Pia")
    with scene.transaction() as db:
        ana = scene.people["Ana"] = add_mentor(db, scene.programme, "Ana", runtime.clock())
        ana.seniority_rank, ana.hire_date = 80, date(2026, 6, 1)
    row = scene.proposals(scene.run())["Ana", "Pia"]
    assert row.reasons["junior"] == ["tenure"]


@pytest.mark.parametrize(
    ("mentor", "mentee", "reason"),
    [
        ({"languages": ["fr"]}, {"languages": ["de"]}, "language"),
        ({"time_zone": "Asia/Tokyo"}, {"time_zone": "America/New_York"}, "hours"),
        ({"offers": {"Short video": 4}}, {}, "no_candidate_skill"),
    ],
)
def test_pair_without_common_ground_is_not_proposed_and_told_why(runtime, tenant, mentor, mentee, reason):
    scene = make_scene(runtime, tenant)
    with scene.transaction() as db:
        offered = [skill.name for skill in db.scalars(select(store.Skill))]
        if "offers" in mentor:
            mentor = {"offers": {next(name for name in offered if name not in (OFFER, WANT)): 4}}
        add_mentor(db, scene.programme, "Ana", runtime.clock(), **mentor)
        add_mentee(db, scene.programme, "Pia", runtime.clock(), **mentee)
    run = scene.get_run(scene.run())
    assert [entry["reason"] for entry in scene.left_out(run.id)] == [reason, reason]


def test_people_of_the_same_manager_are_never_proposed(runtime, tenant):
    scene = make_scene(runtime, tenant)
    with scene.transaction() as db:
        boss = make_leader(db)
        team = {"manager_id": boss.id, "manager_state": "resolved"}
        add_mentor(db, scene.programme, "Ana", runtime.clock(), person=team)
        add_mentee(db, scene.programme, "Pia", runtime.clock(), person=team)
    run = scene.get_run(scene.run())
    assert {entry["reason"] for entry in scene.left_out(run.id)} == {"same_team"}


def test_people_who_left_the_company_are_not_in_the_pool(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia")
    with scene.transaction() as db:
        db.get(type(scene.Ana), scene.Ana.id).status = "terminated"
    run = scene.get_run(scene.run())
    assert (run.mentors, run.mentees) == (1, 1)


def test_unmatched_mentee_reads_how_many_want_and_offer_the_skill(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia Qin Rui")
    left = scene.left_out(scene.run())
    assert len(left) == 2
    assert f"“{OFFER}”: wanted by 3, offered by 1" in left[0]["sentence"]
    assert left[0]["reason"] == "capacity_taken"


def test_places_shrink_with_pairings_and_open_proposals(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia Qin Rui")
    with scene.transaction() as db:
        db.scalars(select(Enrolment).where(Enrolment.person_id == scene.Ana.id)).one().capacity = 2
    first = scene.run()
    assert len(scene.live(first)) == 2
    scene.release(first)
    second = scene.get_run(scene.run())
    assert (second.mentors, second.mentees) == (0, 1)


# --- what a manager changes --------------------------------------------------------------------------------


def drop(scene, proposal) -> None:
    with scene.transaction() as db:
        operations.drop_proposal(db, queries.get_proposal(db, proposal.id), "command", scene.runtime.clock())


def restore(scene, proposal) -> None:
    with scene.transaction() as db:
        row = queries.get_proposal(db, proposal.id)
        operations.restore_proposal(db, row, "command", scene.runtime.clock())


def pin(scene, run_id, mentor: str, mentee: str):
    with scene.transaction() as db:
        run = queries.get_run(db, run_id)
        ids = scene.people[mentor].id, scene.people[mentee].id
        return operations.pin_pair(db, run, *ids, "command", scene.runtime.clock())


def test_dropped_pair_is_not_proposed_again_until_it_is_brought_back(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    first = scene.run()
    dropped = scene.proposals(first)["Ana", "Pia"]
    drop(scene, dropped)
    second = scene.run()
    assert scene.live(second) == set()
    assert {entry["reason"] for entry in scene.left_out(second)} == {"blocked"}
    restore(scene, dropped)
    assert scene.live(scene.run()) == {("Ana", "Pia")}


def test_dropped_pair_comes_back_into_its_open_run(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    row = scene.proposals(run_id)["Ana", "Pia"]
    drop(scene, row)
    with scene.transaction() as db:
        left = lists.count_left_out(db, queries.get_run(db, run_id))
    assert left == {"proposal_dropped": 2}
    restore(scene, row)
    assert scene.live(run_id) == {("Ana", "Pia")}


def test_pinned_pair_stays_in_further_runs(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    first = scene.run()
    crossed = {("Ana", "Pia"), ("Ana", "Qin"), ("Ben", "Pia"), ("Ben", "Qin")} - set(scene.proposals(first))
    mentor, mentee = min(crossed)
    pin(scene, first, mentor, mentee)
    assert (mentor, mentee) in scene.live(first)
    assert len(scene.live(first)) == 1, "both earlier pairs gave way to the pin"
    second = scene.run()
    pairs = scene.live(second)
    assert (mentor, mentee) in pairs
    assert len(pairs) == 2
    assert scene.proposals(second)[mentor, mentee].pinned
    assert scene.live(scene.run()) == pairs


def test_unpinned_pair_is_free_again(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    row = pin(scene, run_id, "Ana", "Pia")
    with scene.transaction() as db:
        operations.unpin(db, queries.get_proposal(db, row.id), "command", runtime.clock())
        assert lists.page_of_decided(db, scene.programme.id, 1).total == 0


def test_second_pin_without_a_free_place_is_refused(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia Qin")
    run_id = scene.run()
    pin(scene, run_id, "Ana", "Pia")
    with pytest.raises(InputError, match="no free place"):
        pin(scene, run_id, "Ana", "Qin")


def test_run_with_a_pin_that_is_barred_by_now_fails_and_changes_nothing(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    first = scene.run()
    pin(scene, first, "Ana", "Pia")
    with scene.transaction() as db:
        person = db.get(type(scene.Ana), scene.Ana.id)
        person.manager_id, person.manager_state = scene.Pia.id, "resolved"
    failed = scene.get_run(scene.run())
    assert failed.state == "failed"
    assert "pinned pair" in failed.failure
    assert failed.metrics["pins"][0]["failed"] == ["reporting_line"]
    assert scene.get_run(first).state == "solved"
    assert scene.live(first) == {("Ana", "Pia")}


# --- the release -------------------------------------------------------------------------------------------


def test_release_tells_both_people_and_sets_the_time_to_answer(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    assert scene.release(run_id) == (1, 0)
    row = scene.proposals(run_id)["Ana", "Pia"]
    assert row.state == "released"
    assert row.expires_at == runtime.clock() + timedelta(days=14)
    assert notices(scene, "Ana") == notices(scene, "Pia") == ["proposal"]


def test_release_twice_has_one_effect_and_says_so(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    scene.release(run_id)
    with pytest.raises(ConflictError) as error:
        scene.release(run_id)
    assert "released before" in error.value.message_for_user
    assert notices(scene, "Ana") == ["proposal"]


def test_release_leaves_out_pairs_that_the_roster_no_longer_allows(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben Cem", "Pia Qin Rui")
    run_id = scene.run()
    rows = scene.proposals(run_id)
    (first, first_row), (second, second_row), _third = rows.items()
    with scene.transaction() as db:
        moved = db.get(type(scene.Ana), first_row.mentor_id)
        moved.manager_id, moved.manager_state = first_row.mentee_id, "resolved"
        db.get(type(scene.Ana), second_row.mentee_id).status = "terminated"
    assert scene.release(run_id) == (1, 2)
    rows = scene.proposals(run_id)
    assert (rows[first].state, rows[first].reasons["left_out"]) == ("void", ["reporting_line"])
    assert (rows[second].state, rows[second].reasons["left_out"]) == ("void", ["not_taking_part"])
    assert notices(scene, first[0]) == []


def test_release_of_an_older_run_is_refused(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    first = scene.run()
    scene.run()
    with pytest.raises(ConflictError, match="run_not_open"):
        scene.release(first)


# --- answers -----------------------------------------------------------------------------------------------


def released(scene) -> Proposal:
    run_id = scene.run()
    scene.release(run_id)
    return scene.proposals(run_id)["Ana", "Pia"]


def count_pairings(scene) -> int:
    with scene.transaction() as db:
        return db.scalar(select(func.count()).select_from(Pairing))


def test_pairing_starts_only_with_two_yes(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = released(scene)
    assert scene.answer(row, scene.Ana, yes=True).state == "released"
    assert scene.answer(row, scene.Ana, yes=True).state == "released"
    assert count_pairings(scene) == 0
    assert scene.answer(row, scene.Pia, yes=True).state == "accepted"
    assert count_pairings(scene) == 1
    assert scene.answer(row, scene.Pia, yes=True).state == "accepted"
    assert count_pairings(scene) == 1
    with scene.transaction() as db:
        kinds = db.scalars(select(OutboxEvent.kind).where(OutboxEvent.kind == "pairing_started")).all()
        assert find_enrolment(db, scene.programme.id, scene.Ana.id).active_pairings == 1
    assert kinds == ["pairing_started"]
    assert notices(scene, "Ana") == ["proposal", "pairing_started"]


def test_two_yes_in_one_transaction_start_the_pairing(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    proposal = released(scene)
    with scene.transaction() as db:
        row = queries.get_proposal(db, proposal.id)
        operations.answer(db, row, scene.Ana.id, True, None, runtime.clock())
        assert operations.answer(db, row, scene.Pia.id, True, None, runtime.clock()).state == "accepted"


def test_no_after_the_pairing_started_points_to_its_page(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = released(scene)
    scene.answer(row, scene.Ana, yes=True)
    scene.answer(row, scene.Pia, yes=True)
    with pytest.raises(ConflictError, match="pairing_started"):
        scene.answer(row, scene.Ana, yes=False)


def test_no_returns_both_to_the_pool_and_the_pair_is_never_proposed_again(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia")
    with scene.transaction() as db:
        # Ben is the weaker choice, so that Ana comes first.
        find_enrolment(db, scene.programme.id, scene.Ben.id).motivation_level = 1
    row = released(scene)
    assert scene.answer(row, scene.Pia, yes=False, reason="time").state == "declined"
    assert scene.answer(row, scene.Pia, yes=False).state == "declined"
    assert notices(scene, "Ana") == ["proposal_closed"]
    assert notices(scene, "Pia") == []
    with pytest.raises(ConflictError, match="proposal_closed"):
        scene.answer(row, scene.Ana, yes=True)
    run_id = scene.run()
    assert scene.get_run(run_id).mentors == 2
    assert scene.live(run_id) == {("Ben", "Pia")}


def test_notice_of_a_closed_proposal_names_nobody_and_no_reason(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = released(scene)
    scene.answer(row, scene.Pia, yes=False, reason="conflict")
    with scene.transaction() as db:
        text = unread(db, scene.Ana.id)[-1].text
    assert text == releasing.NEUTRAL_CLOSED
    assert "Pia" not in text


def test_yes_can_become_no_before_the_other_answers(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = released(scene)
    scene.answer(row, scene.Ana, yes=True)
    assert scene.answer(row, scene.Ana, yes=False).state == "declined"
    assert count_pairings(scene) == 0


def test_answer_by_somebody_else_is_not_found(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    run_id = scene.run()
    scene.release(run_id)
    (mentor, mentee), row = next(iter(scene.proposals(run_id).items()))
    stranger = next(p for name, p in scene.people.items() if name not in (mentor, mentee))
    with pytest.raises(NotFoundError):
        scene.answer(row, stranger, yes=True)


def test_answer_before_the_release_is_not_found(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = scene.proposals(scene.run())["Ana", "Pia"]
    with pytest.raises(NotFoundError):
        scene.answer(row, scene.Ana, yes=True)


def test_answer_after_the_time_is_over_changes_nothing(runtime, tenant, clock):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = released(scene)
    clock.forward(days=15)
    with pytest.raises(ConflictError, match="expired"):
        scene.answer(row, scene.Ana, yes=True)
    assert tasks.expire_due(runtime) == 1
    assert tasks.expire_due(runtime) == 0
    with pytest.raises(ConflictError, match="proposal_closed"):
        scene.answer(row, scene.Ana, yes=True)
    assert notices(scene, "Ana") == ["proposal_closed"]
    assert scene.live(scene.run()) == {("Ana", "Pia")}


def test_second_yes_after_a_reorganisation_starts_no_pairing(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = released(scene)
    scene.answer(row, scene.Ana, yes=True)
    with scene.transaction() as db:
        person = db.get(type(scene.Ana), scene.Ana.id)
        person.manager_id, person.manager_state = scene.Pia.id, "resolved"
    closed = scene.answer(row, scene.Pia, yes=True)
    assert (closed.state, closed.reasons["left_out"]) == ("void", ["reporting_line"])
    assert count_pairings(scene) == 0
    assert notices(scene, "Ana") == ["proposal_closed"]


def test_withdrawal_lets_go_of_open_proposals(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    row = released(scene)
    with scene.transaction() as db:
        withdraw(db, find_enrolment(db, scene.programme.id, scene.Ana.id), runtime.clock())
    work_outbox(runtime)
    with scene.transaction() as db:
        assert queries.get_proposal(db, row.id).state == "void"
    assert notices(scene, "Pia") == ["proposal_closed"]


# --- documents and tenants ---------------------------------------------------------------------------------


def test_document_of_a_run_has_the_published_fields(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia")
    run_id = scene.run()
    with scene.transaction() as db:
        document = documents.run_document(db, queries.get_run(db, run_id))
        shown = documents.show_document(db, queries.get_run(db, run_id))
    published = {
        "run_id",
        "programme",
        "mentors",
        "mentees",
        "pairs",
        "objective",
        "total_score",
        "optimality",
    }
    published |= {"unmatched", "metrics", "seconds"}
    assert published <= set(document)
    assert document["optimality"] == {"proved": True, "gap": 0.0}
    assert (document["mentors"], document["mentees"], document["pairs"]) == (2, 1, 1)
    assert {"person", "role", "reason", "candidates_removed_by"} <= set(document["unmatched"][0])
    assert [p["score"] for p in shown["proposals"]] == [document["total_score"]]


def test_explain_gives_points_for_a_pair_and_rules_for_a_barred_one(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    with scene.transaction() as db:
        person = {"manager_id": scene.Pia.id, "manager_state": "resolved"}
        scene.people["Own"] = add_mentor(db, scene.programme, "Own", runtime.clock(), person=person)
    run_id = scene.run()
    with scene.transaction() as db:
        run = queries.get_run(db, run_id)
        chosen = verdicts.explain(db, run, scene.Ana.id, scene.Pia.id, runtime.clock())
        barred = verdicts.explain(db, run, scene.Own.id, scene.Pia.id, runtime.clock())
        with pytest.raises(NotFoundError):
            verdicts.explain(db, run, uuid.uuid4(), scene.Pia.id, runtime.clock())
    assert chosen["proposed"]
    assert sum(chosen["contributions"].values()) == chosen["score"]
    assert barred["barred_by"] == ["reporting_line"]
    assert barred["same_inputs"]
    assert barred["instead"][0]["mentor"]["name"] == "Ana Junior"


@pytest.mark.parametrize(
    ("asked", "roles", "said"),
    [
        (
            ("Pia", "Ana"),
            ("mentee", "mentor"),
            "ask for Ana Junior as the mentor and Pia Senior as the mentee",
        ),
        (("Ana", "Ben"), ("mentor", "mentor"), "Ben Junior takes part in this programme as a mentor."),
        (("Ana", "Out"), ("mentor", None), "Out Senior does not take part in this programme"),
        (("Ana", "Ana"), ("mentor", "mentor"), "Mentor and mentee are the same person."),
        (("Ana", "Away"), ("mentor", "mentee"), "not at work"),
    ],
)
def test_explain_when_the_roles_do_not_fit_says_which_role_each_has(runtime, tenant, asked, roles, said):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Out Away")
    with scene.transaction() as db:
        find_enrolment(db, scene.programme.id, scene.Out.id).state = "withdrawn"
        db.get_one(Person, scene.Away.id).status = "suspended"
    run_id = scene.run()
    mentor, mentee = (scene.people[name] for name in asked)
    with scene.transaction() as db:
        run = queries.get_run(db, run_id)
        document = verdicts.explain(db, run, mentor.id, mentee.id, runtime.clock())
    assert (document["mentor"]["role"], document["mentee"]["role"]) == roles
    assert document["mentor"]["name"] == mentor.display_name
    assert document["barred_by"] == (["same_person"] if mentor is mentee else ["not_taking_part"])
    assert said in " ".join(document["because"])
    assert (document["proposed"], document["score"]) == (False, None)


def test_run_of_another_tenant_is_not_found(runtime, tenant, other_tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    proposal = scene.proposals(run_id)["Ana", "Pia"]
    with runtime.database.transaction(other_tenant.id) as db:
        with pytest.raises(NotFoundError):
            queries.get_run(db, run_id)
        with pytest.raises(NotFoundError):
            queries.get_proposal(db, proposal.id)
    with pytest.raises(NotFoundError):
        tasks.run(runtime, other_tenant.id, run_id)


def test_number_of_queries_does_not_grow_with_the_pool(runtime, tenant, count_queries):
    small = make_scene(runtime, tenant, "Ana", "Pia")
    with count_queries() as few:
        small.run()
    with small.transaction() as db:
        for k in range(12):
            add_mentor(db, small.programme, f"M{k}", runtime.clock())
            add_mentee(db, small.programme, f"S{k}", runtime.clock())
    with count_queries() as many:
        run_id = small.run()
    assert len(small.live(run_id)) == 13
    assert many[0] - few[0] <= 4, "one more earlier run gives way; nothing is read person by person"


@pytest.fixture
def count_queries(runtime):
    from contextlib import contextmanager

    from sqlalchemy import event

    @contextmanager
    def counting():
        count = [0]

        def see(*args):
            count[0] += 1

        event.listen(runtime.database.engine, "before_cursor_execute", see)
        try:
            yield count
        finally:
            event.remove(runtime.database.engine, "before_cursor_execute", see)

    return counting


def test_failed_run_keeps_its_reason_for_the_manager(runtime, tenant, monkeypatch):
    scene = make_scene(runtime, tenant, "Ana", "Pia")

    def give_up(pool, objective, today):
        raise RuntimeError("no proof")

    monkeypatch.setattr(tasks, "compute", give_up)
    run = scene.get_run(scene.run())
    assert (run.state, run.failure) == ("failed", operations.COULD_NOT_SOLVE)
    with scene.transaction() as db:
        assert db.scalar(select(func.count()).select_from(MatchRun)) == 1


def test_person_outside_the_pool_cannot_be_pinned(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    with scene.transaction() as db:
        scene.people["Out"] = make_person(db)
    run_id = scene.run()
    with pytest.raises(InputError, match="not in the pool"):
        pin(scene, run_id, "Out", "Pia")


def test_two_releases_and_two_last_answers_at_the_same_moment_have_one_effect_each(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run_id = scene.run()
    assert sorted(at_once(lambda: scene.release(run_id), lambda: scene.release(run_id))) == [
        "already_released",
        "done",
    ]
    row = scene.proposals(run_id)["Ana", "Pia"]
    answers = at_once(
        lambda: scene.answer(row, scene.Ana, yes=True), lambda: scene.answer(row, scene.Pia, yes=True)
    )
    assert answers == ["done", "done"]
    assert count_pairings(scene) == 1
    assert notices(scene, "Ana") == ["proposal", "pairing_started"]


def at_once(*deeds) -> list[str]:
    """Do things at the same moment in threads; give "done" or the code of the conflict of each."""
    start = threading.Barrier(len(deeds))

    def do(deed) -> str:
        start.wait()
        try:
            deed()
        except ConflictError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(do, deeds))

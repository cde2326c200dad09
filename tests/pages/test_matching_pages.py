"""The pages of matching, as managers and participants meet them."""

import uuid

import pytest
from sqlalchemy import select

from rmplugin.matching import operations, tasks
from rmplugin.matching.models import MatchRun, Pairing, Proposal
from tests.factories.matching import Scene, add_mentor, make_scene
from tests.factories.people import make_person


@pytest.fixture
def scene(runtime, tenant) -> Scene:
    return make_scene(runtime, tenant, "Ana Ben", "Pia")


@pytest.fixture
def manager(sign_in, tenant):
    return sign_in(tenant, manager=True)


def run_path(scene: Scene) -> str:
    return f"/runs/{scene.run()}"


def released_proposal(scene: Scene) -> tuple[str, Proposal]:
    run_id = scene.run()
    scene.release(run_id)
    (mentor, _mentee), row = next(iter(scene.proposals(run_id).items()))
    return mentor, row


def test_manager_starts_a_run_watches_it_and_sees_the_result(scene, manager, runtime):
    manager.get(f"/programmes/{scene.programme.id}/matching")
    assert "2 mentors" in manager.says()
    manager.submit("/matching")
    assert "The matching is being computed" in manager.says()
    assert 'hx-trigger="every 1s"' in manager.text
    assert ">Reload</a>" in manager.text
    tasks.run_queued(runtime)
    manager.get(manager.path)
    says = manager.says()
    assert "teaches Pia Senior" in says
    assert "Generative AI tools" in says
    assert "1 person without a pair, and why" in says
    assert "hx-trigger" not in manager.text


def test_manager_who_watches_a_run_reads_its_rounds(scene, manager, runtime, tenant, monkeypatch):
    manager.get(f"/programmes/{scene.programme.id}/matching").submit("/matching")
    run_id = uuid.UUID(manager.path.rpartition("/")[2])
    note = tasks.note_rounds(runtime, tenant.id, run_id)
    note(3, 0.0008)
    assert "Round 3: at most 0.08 % from the best total." in manager.get(manager.path).says()
    note(4, 0.0)
    assert "Round 3" in manager.get(manager.path).says(), "it was written within this second"
    monkeypatch.setattr(tasks, "NOTED_EVERY", 0.0)
    note(4, 0.0)
    assert "Round 4: at most 0.01 %" in manager.get(manager.path).says()
    tasks.run(runtime, tenant.id, run_id)
    metrics = scene.get_run(run_id).metrics
    note(5, 0.0)
    assert scene.get_run(run_id).metrics == metrics, "a run that is done has no rounds any more"


def test_starting_wakes_the_worker(scene, manager, app):
    woken = []
    app.extensions["rm_wake"] = lambda: woken.append(True)
    manager.get(f"/programmes/{scene.programme.id}/matching").submit("/matching")
    assert woken == [True]


def test_every_person_of_the_pool_is_with_a_pair_or_among_those_without(scene, manager):
    path = run_path(scene)
    says = manager.get(path).says() + manager.get(f"{path}/left-out").says()
    for person in scene.people.values():
        assert person.display_name in says
    assert "all places there went to pairs that add more" in says


def test_pin_of_a_barred_pair_is_refused_with_the_reason(scene, manager):
    with scene.transaction() as db:
        line = {"manager_id": scene.Pia.id, "manager_state": "resolved"}
        scene.people["Own"] = add_mentor(db, scene.programme, "Own", scene.runtime.clock(), person=line)
    path = run_path(scene)
    manager.post(f"{path}/pin", mentor=str(scene.Own.id), mentee=str(scene.Pia.id))
    assert manager.status == 422
    assert "One of the two is in the other's reporting line." in manager.says()
    assert ("Own", "Pia") not in scene.proposals(uuid.UUID(path.split("/")[2]))


def test_pin_without_a_choice_marks_both_fields(scene, manager):
    path = run_path(scene)
    manager.get(path)
    manager.post(f"{path}/pin")
    assert manager.status == 422
    assert "Choose a mentor." in manager.says()
    assert "Choose a mentee." in manager.says()


def test_manager_pins_another_pair_and_runs_again(scene, manager):
    path = run_path(scene)
    run_id = uuid.UUID(path.split("/")[2])
    other = ({("Ana", "Pia"), ("Ben", "Pia")} - scene.live(run_id)).pop()
    manager.post(f"{path}/pin", mentor=str(scene.people[other[0]].id), mentee=str(scene.Pia.id))
    assert "The pair is pinned." in manager.says()
    assert "gave way to one that a manager pinned" in manager.says()
    manager.submit("/matching")
    tasks.run_queued(scene.runtime)
    manager.get(manager.path)
    assert scene.live(uuid.UUID(manager.path.split("/")[2])) == {other}


def test_failed_run_names_the_pin_at_fault_and_where_to_go(scene, manager):
    path = run_path(scene)
    manager.get(path).submit("/pin")
    with scene.transaction() as db:
        proposal = db.scalars(select(Proposal).where(Proposal.pinned)).one()
        mentor = db.get(type(scene.Pia), proposal.mentor_id)
        mentor.manager_id, mentor.manager_state = scene.Pia.id, "resolved"
    manager.get(run_path(scene))
    assert "This matching could not be done" in manager.says()
    assert f"{mentor.display_name}, Pia Senior" in manager.says()
    assert "reporting line" in manager.says()
    manager.get(f"/programmes/{scene.programme.id}/matching").submit("/unpin")
    assert "no longer pinned" in manager.says()


def test_two_managers_releasing_the_same_run_have_one_effect(scene, sign_in, tenant):
    first, second = sign_in(tenant, manager=True), sign_in(tenant, manager=True)
    path = run_path(scene)
    first.get(f"{path}/release")
    second.get(f"{path}/release")
    first.submit("/release")
    assert "Proposals sent: 1." in first.says()
    second.submit("/release")
    assert second.status == 409
    assert "was released before" in second.says()
    with scene.transaction() as db:
        assert len(db.scalars(select(Proposal).where(Proposal.state == "released")).all()) == 1


def test_second_start_while_one_is_queued_is_told(scene, sign_in, tenant):
    first, second = sign_in(tenant, manager=True), sign_in(tenant, manager=True)
    path = f"/programmes/{scene.programme.id}/matching"
    first.get(path)
    second.get(path)
    first.submit("/matching")
    second.submit("/matching")
    assert second.status == 409
    assert "is being computed" in second.says()


def test_participant_cannot_open_or_change_a_run(scene, sign_in, tenant):
    path = run_path(scene)
    browser = sign_in(tenant, scene.Ana)
    assert browser.get(path).status == 403
    assert browser.get(f"/programmes/{scene.programme.id}/matching").status == 403
    assert browser.post(f"{path}/release").status == 403
    assert scene.get_run(uuid.UUID(path.split("/")[2])).state == "solved"


def test_manager_of_another_tenant_finds_nothing(scene, sign_in, other_tenant):
    path = run_path(scene)
    run_id = uuid.UUID(path.split("/")[2])
    proposal = next(iter(scene.proposals(run_id).values()))
    stranger = sign_in(other_tenant, manager=True)
    assert stranger.get(path).status == 404
    assert stranger.get(f"/programmes/{scene.programme.id}/matching").status == 404
    for target in (f"{path}/release", f"/proposals/{proposal.id}/drop", f"/proposals/{proposal.id}/pin"):
        assert stranger.post(target).status == 404
    assert stranger.post(f"/programmes/{scene.programme.id}/matching").status == 404
    assert scene.proposals(run_id)
    assert next(iter(scene.proposals(run_id).values())).state == "proposed"


def test_proposal_before_the_release_cannot_be_opened_by_its_people(scene, sign_in, tenant):
    proposal = next(iter(scene.proposals(scene.run()).values()))
    browser = sign_in(tenant, scene.Pia)
    assert browser.get(f"/proposals/{proposal.id}").status == 404


def test_proposal_shows_who_what_and_time_but_no_motivation(scene, sign_in, tenant):
    mentor, row = released_proposal(scene)
    browser = sign_in(tenant, scene.Pia).get(f"/proposals/{row.id}")
    says = browser.says()
    assert f"{mentor} Junior" in says
    assert "Analyst" in says
    assert "Generative AI tools" in says
    assert f"A session of {scene.programme.session_minutes} minutes" in says
    assert "You both speak English" in says
    assert "I look forward to it." not in says


def test_proposal_of_two_others_is_not_found(scene, sign_in, tenant):
    _mentor, row = released_proposal(scene)
    with scene.transaction() as db:
        stranger = make_person(db)
    browser = sign_in(tenant, stranger)
    assert browser.get(f"/proposals/{row.id}").status == 404
    assert browser.post(f"/proposals/{row.id}/answer", answer="yes").status == 404


def test_both_say_yes_in_their_browsers_and_reach_the_pairing(scene, sign_in, tenant):
    mentor, row = released_proposal(scene)
    junior, senior = sign_in(tenant, scene.people[mentor]), sign_in(tenant, scene.Pia)
    junior.get(f"/proposals/{row.id}").submit("/answer")
    assert "Your yes is noted" in junior.says()
    assert "You said yes" in junior.says()
    senior.get(f"/proposals/{row.id}")
    assert "said yes" not in senior.says().replace("You both said yes", ""), "the other's answer is not shown"
    senior.submit("/answer")
    assert "Your pairing has started" in senior.says()
    with scene.transaction() as db:
        pairing = db.scalars(select(Pairing)).one()
    assert f'href="/pairings/{pairing.id}"' in senior.text


def test_no_with_a_reason_is_neutral_to_the_other_and_uncounted_for_managers(scene, sign_in, tenant, manager):
    mentor, row = released_proposal(scene)
    junior, senior = sign_in(tenant, scene.people[mentor]), sign_in(tenant, scene.Pia)
    senior.get(f"/proposals/{row.id}").submit("/answer", answer="no", reason="conflict")
    assert "Your no is noted" in senior.says()
    junior.get(f"/proposals/{row.id}")
    assert "This proposal is closed" in junior.says()
    assert "conflict" not in junior.text
    manager.get(f"/runs/{row.run_id}")
    assert "did not come about" in manager.says()
    assert "conflict" not in manager.says().lower()
    manager.get(f"/programmes/{scene.programme.id}/matching")
    assert "Why people said no" not in manager.says()


def test_answer_that_is_neither_yes_nor_no_keeps_the_page(scene, sign_in, tenant):
    mentor, row = released_proposal(scene)
    browser = sign_in(tenant, scene.people[mentor]).get(f"/proposals/{row.id}")
    browser.submit("/answer", answer="perhaps")
    assert browser.status == 422
    assert "Would you like to be paired?" in browser.says()


def test_answer_after_the_time_is_over_is_told_clearly(scene, sign_in, tenant, clock):
    mentor, row = released_proposal(scene)
    clock.forward(days=15)
    browser = sign_in(tenant, scene.people[mentor]).get(f"/proposals/{row.id}")
    assert "This proposal is closed" in browser.says()
    browser.post(f"/proposals/{row.id}/answer", answer="yes")
    assert browser.status == 409
    assert "The time to answer this proposal is over" in browser.says()


def test_run_page_says_when_released_pairs_were_left_out(scene, manager):
    path = f"{run_path(scene)}/release"
    manager.get(path)
    with scene.transaction() as db:
        person = db.get(type(scene.Pia), scene.Pia.id)
        person.status = "terminated"
    manager.submit("/release")
    assert "Proposals sent: 0." in manager.says()
    assert "not enrolled, withdrawn, or not at work" in manager.says()


def test_decline_reasons_are_counted_from_five_on(scene, manager):
    with scene.transaction() as db:
        run_id = (
            db.scalars(select(MatchRun.id)).first()
            or operations.start_run(db, scene.programme, "command", scene.runtime.clock()).id
        )
        for _k in range(4):
            db.add(declined(scene, run_id, make_person(db).id))
    manager.get(f"/programmes/{scene.programme.id}/matching")
    assert "Why people said no" not in manager.says()
    with scene.transaction() as db:
        db.add(declined(scene, run_id, make_person(db).id))
    manager.get(f"/programmes/{scene.programme.id}/matching")
    assert "I have no time for it at the moment: 5" in manager.says()
    # The newest no alone changes nothing: whoever said it is on the list of people.
    with scene.transaction() as db:
        db.add(declined(scene, run_id, make_person(db).id))
    manager.get(f"/programmes/{scene.programme.id}/matching")
    assert "I have no time for it at the moment: 5" in manager.says()


def declined(scene: Scene, run_id: uuid.UUID, mentor_id: uuid.UUID) -> Proposal:
    return Proposal(
        run_id=run_id,
        programme_id=scene.programme.id,
        mentor_id=mentor_id,
        mentee_id=scene.Pia.id,
        state="declined",
        decline_reason="time",
        score=1,
        contributions={},
        reasons={},
        created_at=scene.runtime.clock(),
    )

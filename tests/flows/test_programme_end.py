"""A programme that is archived ends its pairs kindly, and none of them counts as failed."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from rmplugin import notify
from rmplugin.credits.models import Completion
from rmplugin.jobs import work_outbox
from rmplugin.matching import queries
from rmplugin.matching.models import Closure, Pairing
from rmplugin.notify import unread
from rmplugin.programmes import operations
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import find_enrolment
from rmplugin.reviews.queries import outcomes_of
from rmplugin.sessions.models import MentoringSession
from tests.factories.matching import Scene, make_scene


@pytest.fixture
def scene(runtime, tenant) -> Scene:
    return make_scene(runtime, tenant, "Ana Ben Cem", "Pia Qin Rex")


@pytest.fixture
def pairs(scene) -> dict[str, Pairing]:
    """Give three pairs by the mentor's name."""
    run_id = scene.run()
    scene.release(run_id)
    found = {}
    for (mentor, mentee), proposal in scene.proposals(run_id).items():
        for name in (mentor, mentee):
            scene.answer(proposal, scene.people[name], yes=True)
        with scene.transaction() as db:
            found[mentor] = queries.find_pairing_of_proposal(db, proposal.id)
    return found


def archive(scene: Scene, *, times: int = 1) -> None:
    with scene.transaction() as db:
        programme = db.get_one(Programme, scene.programme.id)
        operations.change_state(db, programme, "archived", "test", scene.runtime.clock())
    for _ in range(times):
        work_outbox(scene.runtime)


def meet_criteria(scene: Scene, *people) -> None:
    with scene.transaction() as db:
        for person in people:
            db.add(
                Completion(
                    programme_id=scene.programme.id,
                    person_id=person,
                    percent=100,
                    minutes=600,
                    criteria=[],
                    met_at=scene.runtime.clock(),
                    policy_version=1,
                    updated_at=scene.runtime.clock(),
                )
            )


def test_archived_programme_ends_its_pairs_by_whether_both_met_the_criteria(scene, pairs, runtime):
    done, half, held = (pairs[name] for name in ("Ana", "Ben", "Cem"))
    meet_criteria(scene, done.mentor_id, done.mentee_id, half.mentor_id)
    with scene.transaction() as db:
        notify.tell(db, half.mentor_id, "pairing_started", "Begin", runtime.clock(), f"/pairings/{half.id}")
        db.get_one(Pairing, held.id).interrupt("paused", "not_at_work", runtime.clock())
    archive(scene, times=2)
    with scene.transaction() as db:
        states = {name: db.get_one(Pairing, row.id).state for name, row in pairs.items()}
        assert states == {"Ana": "completed", "Ben": "ended", "Cem": "ended"}
        closures = db.scalars(select(Closure)).all()
        assert [(row.pairing_id, row.initiator_id, row.reasons) for row in closures] == [
            (half.id, None, ["programme_over"])
        ]
        for person in scene.people.values():
            assert find_enrolment(db, scene.programme.id, person.id).active_pairings == 0
            told = [notice.text for notice in unread(db, person.id) if "is over" in notice.text]
            assert len(told) == 1
            assert "pairing_started" not in {notice.kind for notice in unread(db, person.id)}
            assert "Thank you both" in told[0]
        programme = db.get_one(Programme, scene.programme.id)
        outcomes = {one.pair: one for one in outcomes_of(db, programme, runtime.clock())}
    results = [outcomes[str(row.id)].result for row in (done, half, held)]
    assert results == ["good", "good", "left_out"]
    assert [outcomes[str(row.id)].ended_at for row in (done, half)] == [None, None], "they lasted"


def test_archived_programme_cancels_what_was_planned_and_closes_open_proposals(scene, clock):
    run_id = scene.run()
    scene.release(run_id)
    ((mentor, mentee), first), (_, open_one), *_ = scene.proposals(run_id).items()
    for name in (mentor, mentee):
        scene.answer(first, scene.people[name], yes=True)
    with scene.transaction() as db:
        pairing = queries.find_pairing_of_proposal(db, first.id)
        planned = MentoringSession(
            pairing_id=pairing.id,
            state="scheduled",
            starts_at=clock.now + timedelta(days=3),
            planned_minutes=60,
            medium="video",
            place="",
            agenda="",
            planned_by=pairing.mentor_id,
            created_at=clock.now,
            updated_at=clock.now,
        )
        db.add(planned)
    archive(scene)
    with scene.transaction() as db:
        assert queries.get_proposal(db, open_one.id).state == "void"
        assert db.get_one(MentoringSession, planned.id).state == "cancelled"


def test_programme_page_says_how_many_pairs_still_run_before_it_archives(scene, pairs, sign_in, tenant):
    manager = sign_in(tenant, manager=True)
    page = f"/programmes/{scene.programme.id}"
    assert "3 pairs still run and end with the programme." in manager.get(page).says()
    archive(scene)
    assert "still run" not in manager.get(page).says()
    assert len(pairs) == 3

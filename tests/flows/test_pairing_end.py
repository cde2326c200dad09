"""The no-fault end of a pairing, by either side."""

import pytest
from sqlalchemy import select

from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.jobs import OutboxEvent
from rmplugin.matching import ending, queries, releasing
from rmplugin.matching.models import Closure
from rmplugin.notify import unread
from rmplugin.programmes.queries import find_enrolment
from tests.factories.matching import Scene, make_scene
from tests.factories.people import make_person


@pytest.fixture
def scene(runtime, tenant) -> Scene:
    return make_scene(runtime, tenant, "Ana", "Pia")


@pytest.fixture
def pairing(scene):
    return scene.pair_up("Ana", "Pia")


def end(scene: Scene, pairing, person, reasons=(), next_choice="rematch") -> Closure:
    with scene.transaction() as db:
        row = queries.get_pairing_of(db, pairing.id, person.id)
        return ending.end_pairing(db, row, person.id, reasons, next_choice, scene.runtime.clock())


@pytest.mark.parametrize("leaver", ["Ana", "Pia"])
def test_either_side_ends_without_a_reason_and_both_are_free(scene, pairing, leaver):
    person = scene.people[leaver]
    closure = end(scene, pairing, person)
    assert (closure.reasons, closure.initiator_id) == ([], person.id)
    with scene.transaction() as db:
        row = queries.get_pairing_of(db, pairing.id, person.id)
        assert (row.state, row.ended_at) == ("ended", scene.runtime.clock())
        kinds = db.scalars(select(OutboxEvent.kind).where(OutboxEvent.kind == "pairing_closed")).all()
        assert kinds == ["pairing_closed"]
        for each in scene.people.values():
            enrolment = find_enrolment(db, scene.programme.id, each.id)
            assert (enrolment.state, enrolment.active_pairings) == ("submitted", 0)
        assert all(member.places == 1 for member in queries.list_pool(db, scene.programme.id))


def test_partner_reads_fixed_neutral_words(scene, pairing):
    end(scene, pairing, scene.Ana, reasons=["distancing", "time"], next_choice="leave")
    with scene.transaction() as db:
        texts = [notice.text for notice in unread(db, scene.Pia.id)]
        own = [notice.kind for notice in unread(db, scene.Ana.id)]
    assert texts[-1] == ending.NEUTRAL_ENDED % {"name": "Ana Junior"}
    assert "pairing_ended" not in own


def test_old_pair_is_never_matched_again(scene, pairing):
    end(scene, pairing, scene.Pia)
    run_id = scene.run()
    assert scene.live(run_id) == set()
    assert {entry["reason"] for entry in scene.left_out(run_id)} == {"blocked"}


@pytest.mark.parametrize("choice", ["pause", "leave"])
def test_who_pauses_or_leaves_is_out_of_the_pool_and_the_partner_stays(scene, pairing, choice):
    end(scene, pairing, scene.Ana, next_choice=choice)
    with scene.transaction() as db:
        state = {"pause": "paused", "leave": "withdrawn"}[choice]
        assert find_enrolment(db, scene.programme.id, scene.Ana.id).state == state
        assert [member.person_id for member in queries.list_pool(db, scene.programme.id)] == [scene.Pia.id]


def test_end_twice_has_one_effect_and_says_so(scene, pairing):
    end(scene, pairing, scene.Ana)
    with pytest.raises(ConflictError, match="already_ended"):
        end(scene, pairing, scene.Pia)
    with scene.transaction() as db:
        assert len(db.scalars(select(Closure)).all()) == 1
        assert "pairing_ended" not in [notice.kind for notice in unread(db, scene.Ana.id)]


def test_pairing_of_others_cannot_be_ended(scene, pairing):
    with scene.transaction() as db:
        stranger = make_person(db)
    with pytest.raises(NotFoundError):
        end(scene, pairing, stranger)


def test_leaver_with_another_open_proposal_frees_the_other_side(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia Qin")
    with scene.transaction() as db:
        find_enrolment(db, scene.programme.id, scene.Qin.id).state = "started"
    pairing = scene.pair_up("Ana", "Pia")
    with scene.transaction() as db:
        find_enrolment(db, scene.programme.id, scene.Qin.id).state = "submitted"
        find_enrolment(db, scene.programme.id, scene.Ana.id).capacity = 2
    run_id = scene.run()
    scene.release(run_id)
    end(scene, pairing, scene.Ana, next_choice="leave")
    assert scene.proposals(run_id)["Ana", "Qin"].state == "void"
    with scene.transaction() as db:
        assert unread(db, scene.Qin.id)[-1].text == releasing.NEUTRAL_CLOSED


def test_one_screen_ends_the_pairing_and_leads_home(scene, pairing, sign_in, tenant):
    browser = sign_in(tenant, scene.Ana).get(f"/pairings/{pairing.id}/end")
    assert ending.NEUTRAL_ENDED % {"name": "Ana Junior"} in browser.says()
    browser.submit("/end", next_choice="rematch")
    assert browser.status == 200
    assert "The pairing has ended" in browser.says()
    assert browser.path == f"/pairings/{pairing.id}/parting"
    assert browser.get(f"/pairings/{pairing.id}/end").status == 409


def test_screen_without_a_choice_is_shown_again(scene, pairing, sign_in, tenant):
    browser = sign_in(tenant, scene.Ana)
    browser.post(f"/pairings/{pairing.id}/end", reasons="time")
    assert browser.status == 422
    assert "Choose what should happen next for you." in browser.says()


def test_screen_of_another_pairing_is_not_found(scene, pairing, sign_in, tenant):
    with scene.transaction() as db:
        stranger = make_person(db)
    assert sign_in(tenant, stranger).get(f"/pairings/{pairing.id}/end").status == 404

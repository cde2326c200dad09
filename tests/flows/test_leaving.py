"""Leaving well: what comes after a pairing, leavers, thanks, completion."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from rmplugin.credits.models import Completion
from rmplugin.errors import ConflictError, NotAllowedError, NotFoundError
from rmplugin.leaving import operations, tasks
from rmplugin.leaving.models import Thanks
from rmplugin.matching import interruptions
from rmplugin.matching.ending import end_pairing
from rmplugin.matching.models import Closure, Pairing
from rmplugin.notify import unread
from rmplugin.people import consents
from rmplugin.people.models import Person
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import find_enrolment
from tests.factories.matching import Scene, make_scene
from tests.factories.pairs import Pair, make_pair
from tests.factories.people import make_person


@pytest.fixture
def scene(runtime, tenant) -> Scene:
    return make_scene(runtime, tenant, "Ana", "Pia")


@pytest.fixture
def pairing(scene) -> Pairing:
    return scene.pair_up("Ana", "Pia")


def end(scene: Scene, pairing: Pairing, name: str, reasons=(), choice="rematch", weeks=4) -> None:
    with scene.transaction() as db:
        row = db.get_one(Pairing, pairing.id)
        end_pairing(db, row, scene.people[name].id, reasons, choice, scene.runtime.clock(), weeks)


def read_by(scene: Scene, name: str) -> list[tuple[str, str, str | None]]:
    with scene.transaction() as db:
        return [(row.kind, str(row.text), row.path) for row in unread(db, scene.people[name].id)]


def by_person(scene, pairing, name, **how):
    end(scene, pairing, name, **how)


def by_manager(scene, pairing, _name, **_how):
    with scene.transaction() as db:
        row = db.get_one(Pairing, pairing.id)
        row.interrupt("suspended", "reporting_line", scene.runtime.clock())
        interruptions.end_interrupted(db, row, "lti_user:x", scene.runtime.clock())


def by_time(scene, pairing, name, **_how):
    """Let the other one leave the company, and two weeks pass."""
    with scene.transaction() as db:
        db.execute(update(Person).where(Person.id == scene.people[name].id).values(status="terminated"))
        interruptions.check_presence(db, scene.runtime.clock())
    scene.runtime.clock.forward(days=14)
    assert tasks.look_after(scene.runtime) == 1


@pytest.mark.parametrize(
    ("way", "how"),
    [
        (by_person, {}),
        (by_person, {"reasons": ["misuse_of_power", "time"], "choice": "leave"}),
        (by_person, {"choice": "pause"}),
        (by_manager, {}),
        (by_time, {}),
    ],
)
def test_partner_reads_the_same_whoever_ends_it_and_why(scene, pairing, way, how):
    way(scene, pairing, "Ana", **how)
    told = [entry for entry in read_by(scene, "Pia") if entry[2] and str(pairing.id) in entry[2]]
    words = (
        "Your pairing with Ana Junior has ended. Pairings end for many reasons and nobody is to blame. Your "
        "confirmed sessions and credits stay yours."
    )
    about_the_end = [entry for entry in told if entry[0] != "pairing_started"]
    assert about_the_end == [("pairing_ended", words, f"/pairings/{pairing.id}/parting")]


def test_pair_of_a_leaver_waits_two_weeks_for_a_mistake_of_the_staff_list(scene, pairing, clock):
    with scene.transaction() as db:
        db.execute(update(Person).where(Person.id == scene.Ana.id).values(status="terminated"))
        interruptions.check_presence(db, clock())
    clock.forward(days=13)
    assert tasks.look_after(scene.runtime) == 0
    with scene.transaction() as db:
        assert db.get_one(Pairing, pairing.id).state == "paused"


def test_partner_chooses_too_and_may_choose_again(scene, pairing, clock):
    end(scene, pairing, "Ana")
    with scene.transaction() as db:
        row = db.get_one(Pairing, pairing.id)
        for choice, state in (("pause", "paused"), ("rematch", "submitted"), ("leave", "withdrawn")):
            operations.choose_next(db, row, scene.Pia.id, choice, 3, clock())
            enrolment = find_enrolment(db, scene.programme.id, scene.Pia.id)
            assert (enrolment.state, enrolment.paused_until is not None) == (state, choice == "pause")
        assert len(db.scalars(select(Closure)).all()) == 1


@pytest.mark.parametrize("leaver", ["Ana", "Pia"])
def test_who_left_is_asked_for_consent_again_before_coming_back(scene, pairing, clock, leaver):
    end(scene, pairing, "Ana", choice="leave")
    with scene.transaction() as db:
        row, person = db.get_one(Pairing, pairing.id), scene.people[leaver]
        if leaver == "Pia":
            assert consents.stands(db, person.id, "participation", scene.programme.id)
            operations.choose_next(db, row, person.id, "leave", 4, clock())
        assert not consents.stands(db, person.id, "participation", scene.programme.id)
        with pytest.raises(ConflictError, match="left"):
            operations.choose_next(db, row, person.id, "rematch", 4, clock())


def test_nobody_comes_back_into_a_programme_that_is_over(scene, pairing, clock):
    end(scene, pairing, "Ana", choice="pause")
    with scene.transaction() as db:
        db.get_one(Programme, scene.programme.id).state = "archived"
        row = db.get_one(Pairing, pairing.id)
        with pytest.raises(NotAllowedError):
            operations.choose_next(db, row, scene.Ana.id, "rematch", 4, clock())


def test_choice_while_the_pairing_goes_on_is_refused(scene, pairing, clock):
    with scene.transaction() as db, pytest.raises(ConflictError, match="pairing_goes_on"):
        operations.choose_next(db, db.get_one(Pairing, pairing.id), scene.Ana.id, "leave", 4, clock())


def test_thanks_after_an_end_arrive_a_day_later_once(scene, pairing, clock):
    end(scene, pairing, "Ana")
    with scene.transaction() as db:
        operations.thank(db, db.get_one(Pairing, pairing.id), scene.Ana.id, "You opened doors.", clock())
    with pytest.raises(ConflictError, match="already_thanked"), scene.transaction() as db:
        operations.thank(db, db.get_one(Pairing, pairing.id), scene.Ana.id, "Again.", clock())
    clock.forward(hours=23)
    assert tasks.look_after(scene.runtime) == 0
    clock.forward(hours=1)
    assert tasks.look_after(scene.runtime) == 1
    assert tasks.look_after(scene.runtime) == 0
    assert [kind for kind, *_rest in read_by(scene, "Pia")].count("thanks") == 1


def test_thanks_before_the_end_are_refused(scene, pairing, clock):
    with scene.transaction() as db, pytest.raises(ConflictError, match="too_early"):
        operations.thank(db, db.get_one(Pairing, pairing.id), scene.Ana.id, "So far.", clock())


def met(pair: Pair, person: Person) -> None:
    with pair.transaction() as db:
        db.add(
            Completion(
                programme_id=pair.programme.id,
                person_id=person.id,
                percent=100,
                minutes=300,
                criteria=[],
                met_at=pair.now,
                policy_version=1,
                updated_at=pair.now,
            )
        )


def test_pair_completes_when_both_met_everything_and_the_programme_concludes(runtime, tenant):
    pair = make_pair(runtime, tenant)
    met(pair, pair.mentor)
    with pair.transaction() as db:
        db.get_one(Programme, pair.programme.id).state = "concluding"
        enrolments = [find_enrolment(db, pair.programme.id, one.id) for one in (pair.mentor, pair.mentee)]
        for enrolment in enrolments:
            enrolment.active_pairings = 1
    assert tasks.look_after(runtime) == 0
    met(pair, pair.mentee)
    assert tasks.look_after(runtime) == 1
    with pair.transaction() as db:
        assert pair.get(db).state == "completed"
        states = {find_enrolment(db, pair.programme.id, one.id).state for one in (pair.mentor, pair.mentee)}
        assert states == {"completed"}
        assert [row.kind for row in unread(db, pair.mentor.id)] == ["pairing_completed"]


def test_kudos_go_into_the_record_only_when_their_owner_wants_it(runtime, tenant, sign_in):
    pair = make_pair(runtime, tenant)
    met(pair, pair.mentee)
    with pair.transaction() as db:
        thanks = operations.thank(db, pair.get(db), pair.mentee.id, "You opened my eyes.", pair.now)
        assert thanks.delivered_at == pair.now
        with pytest.raises(NotFoundError):
            operations.keep_thanks(db, thanks.id, pair.mentee.id, keep=True)
    browser = sign_in(tenant, pair.mentor).get(f"/programmes/{pair.programme.id}/record")
    assert "You opened my eyes." in browser.says()
    browser.submit("/keep")
    assert "It is in your record." in browser.says()
    with pair.transaction() as db:
        assert db.get_one(Thanks, thanks.id).is_kept


def test_after_the_end_both_see_the_same_page_and_nothing_of_the_reasons(scene, pairing, sign_in, tenant):
    end(scene, pairing, "Ana", reasons=["distancing"])
    seen = []
    for person, other in ((scene.Ana, scene.Pia), (scene.Pia, scene.Ana)):
        page = sign_in(tenant, person).get(f"/pairings/{pairing.id}/parting")
        assert page.status == 200
        assert "cancelled" not in page.says()
        seen.append(re.sub(r'value="[^"]*"', "", page.text).replace(other.display_name, "PARTNER"))
    assert seen[0].split("<main")[1] == seen[1].split("<main")[1]


def test_pages_of_the_end_are_for_the_two_alone(scene, pairing, sign_in, tenant):
    with scene.transaction() as db:
        stranger = make_person(db)
    browser = sign_in(tenant, stranger, manager=True)
    for page in ("end", "parting"):
        assert browser.get(f"/pairings/{pairing.id}/{page}").status == 404
    assert browser.get(f"/programmes/{scene.programme.id}/record").status == 404


def test_one_screen_takes_three_reasons_and_no_more(scene, pairing, sign_in, tenant):
    browser = sign_in(tenant, scene.Ana).get(f"/pairings/{pairing.id}/end")
    browser.submit("/end", reasons=["time", "distancing", "language_time_zone", "role_change"])
    assert browser.status == 422
    assert "Choose three reasons at most, or none." in browser.says()
    browser.submit("/end", reasons=["time", "distancing", "role_change"], next_choice="pause", weeks="6")
    assert "You pause until" in browser.says()
    with scene.transaction() as db:
        assert db.scalars(select(Closure.reasons)).one() == ["time", "distancing", "role_change"]
        enrolment = find_enrolment(db, scene.programme.id, scene.Ana.id)
        assert enrolment.paused_until == scene.runtime.clock().date() + timedelta(weeks=6)


def test_page_of_the_end_when_the_programme_is_over_promises_no_other_partner(
    scene, pairing, sign_in, tenant
):
    end(scene, pairing, "Ana")
    path = f"/pairings/{pairing.id}/parting"
    assert "the next matching looks" in sign_in(tenant, scene.Pia).get(path).says()
    with scene.transaction() as db:
        db.get_one(Programme, scene.programme.id).state = "archived"
    words = sign_in(tenant, scene.Pia).get(path).says()
    assert "the next matching looks" not in words
    assert "Thank Ana" in words

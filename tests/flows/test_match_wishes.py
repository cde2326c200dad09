"""Short lists: who is on them, what is kept, who learns of it."""

import pytest
from sqlalchemy import select

from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.matching import documents, operations, queries, releasing, store, verdicts, wishes
from rmplugin.matching.models import MatchWish
from rmplugin.matching.solver import all_pairs
from rmplugin.programmes.operations import withdraw
from rmplugin.programmes.queries import find_enrolment
from tests.factories.matching import Scene, add_mentor, make_scene
from tests.factories.people import make_person
from tests.flows.test_match_rules import put_in_force


@pytest.fixture
def scene(runtime, tenant) -> Scene:
    scene = make_scene(runtime, tenant, "Ana Ben Cem Dua Eli Fay Gus", "Pia Qin")
    put_in_force(scene, self_service=True, wishes=9000)
    return scene


def listed(scene: Scene, name: str) -> dict[str, str]:
    """Give the first names on somebody's list, in order, with what was chosen."""
    names = {person.id: first for first, person in scene.people.items()}
    with scene.transaction() as db:
        found = wishes.short_list(db, scene.programme, scene.people[name].id, scene.runtime.clock())
    return {names[entry.person_id]: entry.choice for entry in found}


def choose(scene: Scene, name: str, **choices: str) -> None:
    with scene.transaction() as db:
        made = {scene.people[other].id: choice for other, choice in choices.items()}
        wishes.choose(db, scene.programme, scene.people[name].id, made, scene.runtime.clock())


def pool_of(scene: Scene) -> store.Pool:
    with scene.transaction() as db:
        return store.load_pool(db, scene.programme, scene.runtime.clock())


def test_list_names_the_five_best_admissible_people_with_reasons(scene):
    with scene.transaction() as db:
        now = scene.runtime.clock()
        line = {"manager_id": scene.Pia.id, "manager_state": "resolved"}
        scene.people["Own"] = add_mentor(db, scene.programme, "Own", now, person=line, motivation_level=5)
        keen = {"motivation_level": 5}
        scene.people["Keen"] = add_mentor(db, scene.programme, "Keen", now, **keen)
        find_enrolment(db, scene.programme.id, scene.Ana.id).motivation_level = 1
        found = wishes.short_list(db, scene.programme, scene.Pia.id, now)
    names = list(listed(scene, "Pia"))
    assert len(names) == 5
    assert names[0] == "Keen"
    assert not {"Own", "Ana", "Qin", "Pia"} & set(names)
    assert all(entry.reasons["mentee"]["covered"] for entry in found)


def test_choosing_shows_nobody_new(scene):
    first = set(listed(scene, "Pia"))
    choose(scene, "Pia", **dict.fromkeys(first, "avoid"))
    assert set(listed(scene, "Pia")) == first
    other = min(first)
    choose(scene, "Pia", **{other: "1"})
    again = listed(scene, "Pia")
    assert (next(iter(again.items())), set(again)) == ((other, "1"), first)


def allowed(pool) -> set[tuple[str, str]]:
    return {(pair.mentor_id, pair.mentee_id) for pair in all_pairs(pool.free_problem())}


def test_choices_reach_the_pool_and_its_digest_and_spare_a_pair(scene):
    before = pool_of(scene)
    names = list(listed(scene, "Pia"))
    choose(scene, "Pia", **{names[0]: "1", names[1]: "avoid"})
    pool = pool_of(scene)
    me, liked, spared = str(scene.Pia.id), str(scene.people[names[0]].id), str(scene.people[names[1]].id)
    assert pool.wishes == ((me, liked, 1),)
    assert pool.avoided == ((me, spared),)
    assert pool.digest("total") != before.digest("total")
    assert (spared, me) not in allowed(pool)
    assert (spared, me) in allowed(before)


def test_manager_can_still_pin_a_pair_that_somebody_would_avoid_and_learns_nothing(scene):
    name = next(iter(listed(scene, "Pia")))
    choose(scene, "Pia", **{name: "avoid"})
    run_id = scene.run()
    assert (name, "Pia") not in scene.live(run_id)
    ids = scene.people[name].id, scene.Pia.id
    with scene.transaction() as db:
        explained = verdicts.explain(db, queries.get_run(db, run_id), *ids, scene.runtime.clock())
        operations.pin_pair(db, queries.get_run(db, run_id), *ids, "command", scene.runtime.clock())
    assert explained["barred_by"] == []
    assert (name, "Pia") in scene.live(scene.run())


def test_wishes_of_both_sides_count_and_those_of_people_who_left_the_pool_do_not(scene):
    choose(scene, "Ana", Pia="2")
    choose(scene, "Pia", **{next(iter(listed(scene, "Pia"))): "1"})
    assert len(pool_of(scene).wishes) == 2
    with scene.transaction() as db:
        withdraw(db, find_enrolment(db, scene.programme.id, scene.Pia.id), scene.runtime.clock())
    assert pool_of(scene).wishes == ()


def test_numbers_of_a_run_hold_no_points_for_wishes(scene):
    def numbers():
        with scene.transaction() as db:
            return documents.show_document(db, queries.get_run(db, scene.run()))

    before = {pair_of(pair): pair["contributions"] for pair in numbers()["proposals"]}
    chosen, (_, other) = sorted(before)
    choose(scene, chosen[0], **{other: "1"})
    after = numbers()
    pairs = {pair_of(pair): pair for pair in after["proposals"]}
    # The wish decided, and is in no number.
    assert (chosen[0], other) in pairs
    assert (chosen[0], other) not in before
    for pair in pairs.values():
        assert "wishes" not in pair["contributions"]
        assert sum(pair["contributions"].values()) == pair["score"]
    scores = [pair["score"] for pair in pairs.values()]
    assert after["total_score"] == sum(scores)
    assert after["metrics"]["min_score"] == min(scores)
    prices = after["metrics"]["objectives"]
    assert prices["total"]["total_score"] == sum(scores)
    assert prices["total"]["price"] >= 0


def pair_of(document):
    return tuple(document[role]["name"].split()[0] for role in ("mentor", "mentee"))


def test_choices_are_replaced_and_taken_back(scene):
    choose(scene, "Ana", Pia="1", Qin="2")
    choose(scene, "Ana", Qin="1")
    with scene.transaction() as db:
        assert wishes.choices_of(db, scene.programme.id, scene.Ana.id) == {scene.Qin.id: "1"}
    choose(scene, "Ana")
    with scene.transaction() as db:
        assert db.scalars(select(MatchWish)).all() == []


def test_same_place_twice_is_refused_by_field_and_keeps_what_was_there(scene):
    choose(scene, "Ana", Pia="1")
    with pytest.raises(InputError) as error:
        choose(scene, "Ana", Pia="2", Qin="2")
    assert set(error.value.details) == {f"choice-{scene.Pia.id}", f"choice-{scene.Qin.id}"}
    assert listed(scene, "Ana") == {"Pia": "1", "Qin": ""}


def test_somebody_who_is_not_on_the_list_cannot_be_chosen(scene):
    outside = ({"Ana", "Ben", "Cem", "Dua", "Eli", "Fay", "Gus"} - set(listed(scene, "Pia"))).pop()
    for other in (outside, "Qin"):
        with pytest.raises(InputError, match="not_on_the_list"):
            choose(scene, "Pia", **{other: "1"})


def test_list_is_closed_once_a_run_is_released_and_open_again_when_that_is_taken_back(scene):
    run_id = scene.run()
    scene.release(run_id)
    with pytest.raises(ConflictError, match="short_list_closed"):
        listed(scene, "Pia")
    with scene.transaction() as db:
        releasing.withdraw_run(db, queries.get_run(db, run_id), "command", scene.runtime.clock())
    assert listed(scene, "Pia")


def test_list_is_closed_where_the_rules_use_none_and_unknown_outside_the_pool(scene):
    with scene.transaction() as db:
        scene.people["Out"] = make_person(db)
    with pytest.raises(NotFoundError):
        listed(scene, "Out")
    put_in_force(scene, self_service=False)
    with pytest.raises(ConflictError, match="short_list_closed"):
        choose(scene, "Pia")


def test_lists_are_counted_from_five_people_on(scene):
    for name in ("Ana", "Ben", "Cem", "Dua"):
        choose(scene, name, Pia="1")
    with scene.transaction() as db:
        assert wishes.count_lists(db, scene.programme.id) is None
    choose(scene, "Eli", Pia="1", Qin="avoid")
    with scene.transaction() as db:
        assert wishes.count_lists(db, scene.programme.id) == 5


# --- the page ----------------------------------------------------------------------------------------------


def test_person_finds_the_list_at_home_orders_it_and_takes_it_back(scene, sign_in, tenant):
    browser = sign_in(tenant, scene.Ana)
    path = f"/programmes/{scene.programme.id}/short-list"
    browser.get(path)
    assert "Neither these people nor your programme manager can see what you choose" in browser.says()
    assert "Pia Senior" in browser.says()
    fields = {f"choice-{scene.Pia.id}": "1", f"choice-{scene.Qin.id}": "avoid"}
    browser.submit("/short-list", **fields)
    assert "Your choices are saved." in browser.says()
    assert listed(scene, "Ana") == {"Pia": "1", "Qin": "avoid"}
    browser.submit("/short-list", **dict.fromkeys(fields, "1"))
    assert browser.status == 422
    assert "Another person has this place, too." in browser.says()
    browser.get(path).submit("/withdraw")
    assert "Your choices are taken back." in browser.says()
    assert set(listed(scene, "Ana").values()) == {""}


def test_nobody_else_reads_what_somebody_chose(scene, sign_in, tenant, other_tenant):
    choose(scene, "Ana", Pia="avoid")
    path = f"/programmes/{scene.programme.id}/short-list"
    partner = sign_in(tenant, scene.Pia).get(path)
    assert 'value="avoid" selected' not in partner.text
    manager = sign_in(tenant, manager=True)
    assert manager.get(path).status == 403
    manager.get(f"/programmes/{scene.programme.id}/matching")
    assert "Fewer than five people have put their short list in order." in manager.says()
    with scene.runtime.database.transaction(other_tenant.id) as db:
        stranger = make_person(db)
    assert sign_in(other_tenant, stranger).get(path).status == 404

"""The manager's workbench of matching: pool, rules, result, changes by hand, comparison, release."""

import re
import uuid
from datetime import date, timedelta
from urllib.parse import urlencode

import pytest

from rmplugin import web
from rmplugin.jobs import work_outbox
from rmplugin.matching import changes, counting, lists, operations, queries, rules, tasks
from rmplugin.matching.models import MatchCount, MatchWish, Proposal
from rmplugin.programmes.queries import skills_of_programme
from tests.factories.matching import Scene, add_mentee, add_mentor, make_scene
from tests.factories.people import make_person
from tests.factories.programmes import OFFER, WANT, enrol, make_programme


@pytest.fixture
def scene(runtime, tenant) -> Scene:
    return make_scene(runtime, tenant, "Ana Ben", "Pia Qin")


@pytest.fixture
def manager(sign_in, tenant):
    return sign_in(tenant, manager=True)


def desk(scene: Scene, page: str = "") -> str:
    return f"/programmes/{scene.programme.id}/matching{page}"


def crossed(scene: Scene, run_id: uuid.UUID) -> tuple[str, str]:
    """Give a pair of the pool that the run does not have."""
    every = {(mentor, mentee) for mentor in ("Ana", "Ben") for mentee in ("Pia", "Qin")}
    return min(every - scene.live(run_id))


def two_pairs(scene: Scene, run_id: uuid.UUID) -> list[Proposal]:
    return [row for row in scene.proposals(run_id).values() if row.state == "proposed"]


# ---- 1: the pool ----


def test_health_of_a_small_pool_is_counted_at_once(scene, manager):
    manager.get(desk(scene, "/health"))
    says = manager.says()
    assert "Pairs that the rules allow: 4." in says
    assert "Mentees (seniors who learn) 2 2 2 (100 %) 0 (0 %)" in says
    assert "Count now" not in says


def test_health_names_the_skill_that_lacks_mentors_and_the_rule_that_bars(scene, manager):
    with scene.transaction() as db:
        add_mentee(db, scene.programme, "Ida", scene.runtime.clock(), languages=["fr"])
    manager.get(desk(scene, "/health"))
    says = manager.says()
    assert f"{OFFER} 3 2 2" in says
    assert "They have no language in common. 2" in says


def test_health_proposes_who_would_help_most_by_what_they_said_elsewhere(runtime, tenant, manager, clock):
    scene = make_scene(runtime, tenant, "Ana", "Pia Qin Rex")
    with scene.transaction() as db:
        other = make_programme(db, name="Another programme")
        helper = make_person(db, given_name="Hal", family_name="Helper", hire_date=date(2021, 3, 1))
        enrol(db, other, helper, clock.now)
        lately = clock.now.date() - timedelta(days=40)
        make_person(db, given_name="Newt", family_name="Comer", hire_date=lately)
        add_mentee(db, scene.programme, "Ida", clock.now, languages=["fr", "en"])
    manager.get(desk(scene, "/health"))
    says = manager.says()
    assert "Hal Helper" in says
    assert "One more to choose for 4 mentees with fewer than three." in says
    assert "4 mentees short of mentors could meet them." in says
    assert says.index("Hal Helper") < says.index("Newt Comer")
    assert f"/programmes/{scene.programme.id}/people?role=mentor" in manager.text


def test_health_proposes_nobody_enrolled_senior_or_gone(scene, manager):
    with scene.transaction() as db:
        other = make_programme(db, name="Another programme")
        for name, fields in (("Old", {"seniority_rank": 90}), ("Gone", {"status": "terminated"})):
            person = make_person(db, given_name=name, family_name="Hand")
            enrol(db, other, person, scene.runtime.clock())
            for field, value in fields.items():
                setattr(person, field, value)
        add_mentee(db, scene.programme, "Rex", scene.runtime.clock())
    says = manager.get(desk(scene, "/health")).says()
    assert "Old Hand" not in says
    assert "Gone Hand" not in says
    assert "Ana Junior" not in says


def test_health_of_a_large_pool_is_counted_by_the_worker(scene, manager, monkeypatch, runtime):
    monkeypatch.setattr(counting, "FEW", 3)
    manager.get(desk(scene, "/health"))
    assert "Pairs that the rules allow" not in manager.says()
    manager.submit("/health")
    assert "The pool is being counted" in manager.says()
    assert "hx-trigger" in manager.text
    work_outbox(runtime, slow=True)
    manager.get(desk(scene, "/health"))
    assert "Pairs that the rules allow: 4." in manager.says()
    assert "Count again" in manager.says()
    assert "hx-trigger" not in manager.text


# ---- 2: the rules ----


def test_rules_are_tried_without_being_saved(scene, manager):
    manager.get(desk(scene, "/rules")).submit("/rules/try", bar_same_team="false", min_common_minutes="600")
    says = manager.says()
    assert "Pairs that the rules allow 4 0 -4" in says
    assert 'value="600"' in manager.text
    with scene.transaction() as db:
        assert rules.list_rule_sets(db, scene.programme.id) == []


def test_rules_are_counted_while_they_are_typed_unless_the_pool_is_large(scene, manager, monkeypatch):
    manager.get(desk(scene, "/rules"))
    assert 'id="live"' in manager.text
    form = next(form for form in manager.forms() if form["action"].endswith("/rules/try"))
    typed = {name: value for name, value in form["fields"].items() if not name.startswith("_")}

    def count(**changed: str) -> str:
        query = urlencode(typed | changed, doseq=True)
        return manager.get(f"{desk(scene, '/rules/count')}?{query}").says()

    assert "the rules allow 4 pairs. Mentees with at least one possible mentor: 2" in count()
    assert "the rules allow 0 pairs" in count(bar_same_team="false", min_common_minutes="600")
    assert "Working minutes in common: Give a whole number" in count(min_common_minutes="-1")
    monkeypatch.setattr(counting, "FEW", 3)
    assert 'id="live"' not in manager.get(desk(scene, "/rules")).text
    count()
    assert manager.status == 404


def test_rules_are_tried_by_the_worker_when_the_pool_is_large(scene, manager, monkeypatch, runtime):
    monkeypatch.setattr(counting, "FEW", 3)
    manager.get(desk(scene, "/rules")).submit("/rules/try", min_common_minutes="600")
    assert "Being counted" in manager.says()
    assert 'value="600"' in manager.text
    work_outbox(runtime, slow=True)
    manager.get(f"{desk(scene, '/rules')}?trial=1")
    assert "Pairs that the rules allow 4 0 -4" in manager.says()


def test_count_asked_again_meanwhile_gets_the_newer_answer(scene, manager, monkeypatch, runtime, clock):
    monkeypatch.setattr(counting, "FEW", 3)
    for minutes in ("600", "0"):
        manager.get(desk(scene, "/rules")).submit("/rules/try", min_common_minutes=minutes)
        clock.forward(seconds=5)
    work_outbox(runtime, slow=True)
    with scene.transaction() as db:
        row = db.query(MatchCount).one()
    assert row.question["min_common_minutes"] == 0
    assert row.answer["after"]["pairs"] == 4


def test_rules_with_a_fault_are_marked_at_the_field_and_kept(scene, manager):
    page = manager.get(desk(scene, "/rules"))
    page.submit("/rules/try", coverage="many", note="Because of the review")
    assert manager.status == 422
    assert "Give a whole number from 1 to 1000000." in manager.says()
    assert 'value="many"' in manager.text
    assert "Because of the review" in manager.says()


def test_rules_become_a_draft_and_then_a_version_with_its_note(scene, manager):
    form = manager.get(desk(scene, "/rules")).forms()[0]
    values = {name: texts[0] for name, texts in form["fields"].items() if not name.startswith("_")}
    manager.post(desk(scene, "/rules/draft"), **(values | {"learning": "30000", "note": "More in return"}))
    assert "Saved as draft 2." in manager.says()
    assert "The form shows draft 2." in manager.says()
    manager.post(desk(scene, "/rules/live"), **(values | {"learning": "40000", "note": "Even more"}))
    says = manager.says()
    assert "From now on the matching goes by version 2." in says
    assert "Even more" in says
    with scene.transaction() as db:
        assert rules.book_in_force(db, scene.programme).weights.learning == 40000


# ---- 3: the run ----


def test_run_says_what_the_worker_is_at_and_what_each_way_costs(scene, manager, runtime):
    manager.get(desk(scene)).submit("/matching", objective="fair")
    assert "Waits for the worker." in manager.says()
    tasks.run_queued(runtime)
    manager.get(manager.path)
    says = manager.says()
    assert "the solver proved it" in says
    assert "Fair: as many people as possible get a pair" in says
    assert "this run" in says
    assert scene.get_run(uuid.UUID(manager.path.split("/")[2])).objective == "fair"


def test_progress_of_a_queued_run_is_shown(scene, manager, clock):
    run_id = scene.queue()
    with scene.transaction() as db:
        operations.note_progress(db, run_id, clock.now, mentors=2, mentees=2)
    assert "2 mentors and 2 mentees are read." in manager.get(f"/runs/{run_id}").says()


# ---- 4: the result ----


def test_result_is_filtered_sorted_and_paged(runtime, tenant, manager, monkeypatch):
    monkeypatch.setattr(lists, "PAGE", 2)
    scene = make_scene(runtime, tenant, "Ana Ben Cem Dan Eva", "Pia Qin Rex Sam Tom")
    path = f"/runs/{scene.run()}"
    assert len(re.findall(r'<tr id="p-', manager.get(path).text)) == 2
    assert "Page 1 of 3" in manager.says()
    found = set()
    for page in (1, 2, 3):
        found |= set(re.findall(r'<tr id="p-([0-9a-f-]+)', manager.get(f"{path}?page={page}").text))
    assert len(found) == 5
    assert "1 pair fits" in manager.get(f"{path}?q=pia").says()
    assert "Pia Senior" in manager.says()
    assert "5 pairs fit" in manager.get(f"{path}?department=Sales").says()
    assert "No pair fits this filter." in manager.get(f"{path}?department=Nowhere").says()
    assert "No pair fits this filter." in manager.get(f"{path}?below=1").says()
    assert "No pair fits this filter." in manager.get(f"{path}?pinned=1").says()
    assert "No pair fits this filter." in manager.get(f"{path}?state=declined").says()
    with scene.transaction() as db:
        ids = {skill.name: skill.id for skill in skills_of_programme(db, scene.programme.id)}
    assert "5 pairs fit" in manager.get(f"{path}?skill={ids[OFFER]}").says()
    assert "No pair fits this filter." in manager.get(f"{path}?skill={ids[WANT]}").says()
    names = re.findall(r"teaches (\w+) Senior", manager.get(f"{path}?sort=mentee&page=1").says())
    assert names == ["Pia", "Qin"]


def test_points_on_a_card_add_up_to_the_score(scene, manager):
    row = two_pairs(scene, scene.run())[0]
    manager.get(f"/proposals/{row.id}/card")
    cells = [
        int(cell.replace(",", "")) for cell in re.findall(r'data-label="Points">([\d,]+)<', manager.text)
    ]
    total = int(re.search(r'data-label="Points"><strong>([\d,]+)', manager.text)[1].replace(",", ""))
    assert len(cells) == 6
    assert sum(cells) == total == row.score
    says = manager.says()
    assert "is number 1 of the 2 mentors" in says or "is number 2 of the 2 mentors" in says
    assert "% of the runs" in says


def test_points_for_wishes_are_nowhere_on_the_desk(scene, manager, clock):
    with scene.transaction() as db:
        db.add(
            MatchWish(
                programme_id=scene.programme.id, person_id=scene.Ana.id, other_id=scene.Pia.id,
                kind="prefer", rank=1, created_at=clock.now,
            )
        )  # fmt: skip
    run_id = scene.run()
    row = scene.proposals(run_id)["Ana", "Pia"]
    assert "wishes" not in row.contributions
    manager.get(f"/proposals/{row.id}/card")
    shown = int(re.search(r'data-label="Points"><strong>([\d,]+)', manager.text)[1].replace(",", ""))
    assert shown == row.score
    assert "asked for each other" not in manager.says()
    manager.get(f"/runs/{run_id}/change?do=drop&pair={row.id}")
    before, after = (
        int(n.replace(",", "")) for n in re.search(r"Total ([\d,]+) → ([\d,]+)", manager.says()).groups()
    )
    assert before - after == shown


def test_card_says_why_not_somebody_else(scene, manager):
    with scene.transaction() as db:
        line = {"manager_id": scene.Pia.id, "manager_state": "resolved"}
        scene.people["Own"] = add_mentor(db, scene.programme, "Own", scene.runtime.clock(), person=line)
    run_id = scene.run()
    row = next(row for names, row in scene.proposals(run_id).items() if names[1] == "Pia")
    other = next(name for name in ("Ana", "Ben") if scene.people[name].id != row.mentor_id)
    card = f"/proposals/{row.id}/card"
    assert "Own Junior" in manager.get(f"{card}?name=own").says()
    manager.get(f"{card}?other={scene.Own.id}")
    assert "One of the two is in the other's reporting line." in manager.says()
    manager.get(f"{card}?other={scene.people[other].id}")
    assert "The rules allow it. The pair would bring" in manager.says()
    assert "computed exactly" in manager.says()


def test_people_left_out_are_listed_with_reason_and_filters(scene, manager):
    with scene.transaction() as db:
        scene.people["Ida"] = add_mentee(db, scene.programme, "Ida", scene.runtime.clock(), languages=["fr"])
    path = f"/runs/{scene.run()}/left-out"
    says = manager.get(path).says()
    assert "Ida Senior" in says
    assert "Kept apart by one rule alone:" in says
    assert "2: They have no language in common." in says
    assert "would be enough" in says
    assert "1 person" in manager.get(f"{path}?role=mentee&reason=language&q=ida").says()
    assert "Nobody fits this filter." in manager.get(f"{path}?role=mentor").says()


def test_language_that_would_place_somebody_is_named_in_the_language_of_the_page(scene, manager):
    with scene.transaction() as db:
        add_mentor(db, scene.programme, "Cem", scene.runtime.clock())
        add_mentee(db, scene.programme, "Ida", scene.runtime.clock(), languages=["fr"])
    path = f"/runs/{scene.run()}/left-out"
    assert "With the language “English”, mentors would come within reach" in manager.get(path).says()
    headers = {"Accept-Language": "de", web.HTTP_HEADER: manager.token}
    page = manager.client.get(path, headers=headers).get_data(as_text=True)
    assert "Mit der Sprache „Englisch“ kämen" in page


def test_filters_offer_their_choices_in_the_language_of_the_page(scene, manager):
    with scene.transaction() as db:
        add_mentee(db, scene.programme, "Ida", scene.runtime.clock(), languages=["fr"])
    run_id = scene.run()
    headers = {"Accept-Language": "de", web.HTTP_HEADER: manager.token}

    def choices(path: str) -> set[str]:
        page = manager.client.get(path, headers=headers).get_data(as_text=True)
        return set(re.findall(r"<option[^>]*>([^<]+)</option>", page))

    assert {"Soziale Medien", "noch nicht freigegeben"} <= choices(f"/runs/{run_id}")
    assert {"Soziale Medien", "Keine gemeinsame Sprache"} <= choices(f"/runs/{run_id}/left-out")


# ---- 5: changes ----


def test_drop_says_its_effect_first_and_can_be_undone(scene, manager):
    run_id = scene.run()
    row = two_pairs(scene, run_id)[0]
    live = scene.live(run_id)
    manager.get(f"/runs/{run_id}").get(f"/runs/{run_id}/change?do=drop&pair={row.id}")
    says = manager.says()
    assert re.search(r"Total [\d,]+ → [\d,]+ \(-\d", says)
    assert "Without a partner then:" in says
    assert "Both are computed exactly." in says
    manager.submit("/drop")
    assert len(scene.live(run_id)) == 1
    manager.submit("/undo")
    assert "The pair is back in this run." in manager.says()
    assert scene.live(run_id) == live
    assert "Undo the last change" not in manager.says()


def test_pin_of_another_pair_makes_both_give_way_and_undo_brings_them_back(scene, manager):
    run_id = scene.run()
    live, (mentor, mentee) = scene.live(run_id), crossed(scene, run_id)
    manager.get(f"/runs/{run_id}/pick?mentor_name={mentor}&mentee_name={mentee}")
    assert f"{mentor} Junior" in manager.says()
    two = f"mentor={scene.people[mentor].id}&mentee={scene.people[mentee].id}"
    manager.get(f"/runs/{run_id}/change?do=pin&{two}")
    assert manager.says().count("Leaves:") == 2
    manager.submit("/pin")
    assert scene.live(run_id) == {(mentor, mentee)}
    manager.submit("/undo")
    assert scene.live(run_id) == live
    assert (mentor, mentee) not in scene.proposals(run_id)


def test_effect_of_a_pin_is_what_the_next_run_reaches(scene, manager):
    run_id = scene.run()
    mentor, mentee = crossed(scene, run_id)
    two = f"mentor={scene.people[mentor].id}&mentee={scene.people[mentee].id}"
    manager.get(f"/runs/{run_id}/change?do=pin&{two}")
    best = int(re.search(r"then reaches ([\d,]+)", manager.says())[1].replace(",", ""))
    manager.submit("/pin")
    assert scene.get_run(scene.run()).total_score == best


def test_swap_exchanges_partners_pins_them_and_can_be_undone(scene, manager):
    run_id = scene.run()
    live = scene.live(run_id)
    first, second = two_pairs(scene, run_id)
    assert "teaches" in manager.get(f"/proposals/{first.id}/card?pair=senior").says()
    manager.get(f"/runs/{run_id}/change?do=swap&pair={first.id}&other={second.id}")
    says = manager.says()
    assert says.count("Comes in:") == says.count("Leaves:") == 2
    assert "Nobody loses their only partner." in says
    manager.submit("/swap")
    assert len(scene.live(run_id)) == 2
    assert not scene.live(run_id) & live
    assert all(row.pinned for row in two_pairs(scene, run_id))
    manager.submit("/undo")
    assert scene.live(run_id) == live


def test_swap_that_the_rules_bar_is_refused_with_the_reason(scene, manager):
    with scene.transaction() as db:
        row = db.get(type(scene.Pia), scene.Pia.id)
        mentor = db.get(type(scene.Ana), scene.Ana.id)
        row.department = mentor.department = "Research"
    run_id = scene.run()
    first, second = two_pairs(scene, run_id)
    partner = next(row.mentor_id for row in (first, second) if row.mentee_id != scene.Pia.id)
    with scene.transaction() as db:
        mentor = db.get(type(scene.Ana), partner)
        mentor.manager_id, mentor.manager_state = scene.Pia.id, "resolved"
    manager.get(f"/runs/{run_id}/change?do=swap&pair={first.id}&other={second.id}")
    assert "This cannot be" in manager.says()
    assert "reporting line" in manager.says()
    live = scene.live(run_id)
    manager.post(f"/proposals/{first.id}/swap", other=str(second.id))
    assert manager.status == 422
    assert scene.live(run_id) == live


def test_undo_refuses_what_was_changed_by_other_ways_since(scene, manager):
    run_id = scene.run()
    row = two_pairs(scene, run_id)[0]
    manager.post(f"/proposals/{row.id}/drop")
    with scene.transaction() as db:
        db.get(Proposal, row.id).state = "void"
    manager.post(f"/runs/{run_id}/undo")
    assert manager.status == 409
    assert "changed again meanwhile" in manager.says()


def test_undo_is_over_with_the_release(scene, manager):
    run_id = scene.run()
    manager.post(f"/proposals/{two_pairs(scene, run_id)[0].id}/drop")
    scene.release(run_id)
    manager.post(f"/runs/{run_id}/undo")
    assert manager.status == 409
    assert len(scene.live(run_id)) == 1


def test_change_of_a_pair_of_another_run_is_not_found(scene, manager):
    old = two_pairs(scene, scene.run())[0]
    assert manager.get(f"/runs/{scene.run()}/change?do=drop&pair={old.id}").status == 404


@pytest.mark.parametrize("kind", ["pin", "drop", "unpin", "swap", "restore"])
def test_every_change_undone_leaves_the_run_as_it_was(scene, kind, clock):
    run_id = scene.run()
    first, second = two_pairs(scene, run_id)
    cross = crossed(scene, run_id)

    def state(db):
        rows = db.query(Proposal).filter_by(run_id=run_id).order_by(Proposal.id).all()
        return [(row.id, row.state, row.pinned, row.reasons) for row in rows]

    with scene.transaction() as db:
        run = queries.get_run(db, run_id)
        one, two = db.get(Proposal, first.id), db.get(Proposal, second.id)
        if kind == "unpin":
            changes.pin(db, run, (one.mentor_id, one.mentee_id), "command", clock.now)
        if kind == "restore":
            changes.drop(db, one, "command", clock.now)
    with scene.transaction() as db:
        run = queries.get_run(db, run_id)
        one, two = db.get(Proposal, first.id), db.get(Proposal, second.id)
        before = state(db)
        pair = scene.people[cross[0]].id, scene.people[cross[1]].id
        {
            "pin": lambda: changes.pin(db, run, pair, "command", clock.now),
            "drop": lambda: changes.drop(db, one, "command", clock.now),
            "unpin": lambda: changes.unpin(db, one, "command", clock.now),
            "swap": lambda: changes.swap(db, run, (one, two), "command", clock.now),
            "restore": lambda: changes.restore(db, one, "command", clock.now),
        }[kind]()
    with scene.transaction() as db:
        assert state(db) != before
        assert changes.undo(db, queries.get_run(db, run_id), "command", clock.now) == kind
    with scene.transaction() as db:
        assert state(db) == before


# ---- 6: two runs ----


def test_comparison_sorts_pairs_and_people_of_two_runs(scene, manager, clock):
    first = scene.run()
    old = scene.live(first)
    mentor, mentee = crossed(scene, first)
    with scene.transaction() as db:
        add_mentee(db, scene.programme, "Zoe", clock.now, languages=["fr"])
        changes.pin(
            db,
            queries.get_run(db, first),
            (scene.people[mentor].id, scene.people[mentee].id),
            "command",
            clock.now,
        )
    clock.forward(hours=1)
    second = scene.run()
    assert scene.live(second) != old
    manager.get(f"/runs/{second}/compare")
    says = manager.says()
    assert "1 pairs are the same" in says
    assert "1 pairs are new: the mentee had none" in says
    assert "0 pairs are gone" in says
    assert "2 people gained a partner" in says
    assert "0 people lost their partner" in says
    manager.get(f"/runs/{second}/compare?kind=gained")
    assert len(re.findall(r'data-label="Role"', manager.text)) == 2


def test_comparison_names_the_mentor_of_before(scene, manager, clock):
    first = scene.run()
    rows = two_pairs(scene, first)
    clock.forward(hours=1)
    second = scene.run()
    with scene.transaction() as db:
        found = {(r.mentor_id, r.mentee_id): r for r in db.query(Proposal).filter_by(run_id=second)}
        ones = tuple(found.values())
        changes.swap(db, queries.get_run(db, second), (ones[0], ones[1]), "command", clock.now)
    manager.get(f"/runs/{second}/compare?kind=changed&other={first}")
    assert "2 pairs have another mentor" in manager.says()
    assert manager.text.count("Mentor in the other run") == 3
    assert len(rows) == 2


def test_comparison_without_another_run_says_so(scene, manager):
    assert "no other run to compare with" in manager.get(f"/runs/{scene.run()}/compare").says()


# ---- 7: release ----


def test_release_page_says_what_goes_out_to_whom_until_when(scene, manager):
    run_id = scene.run()
    manager.get(f"/runs/{run_id}/release")
    says = manager.says()
    assert "2 proposals go out" in says
    assert "4 people are told" in says
    assert "7 Dec 2026" in says
    assert "answer by 7 December" in says
    manager.submit("/release")
    manager.get(f"/runs/{run_id}/release")
    assert "waiting for answers 2" in manager.says()
    manager.submit("/withdraw")
    assert "Proposals taken back: 2." in manager.says()


def test_release_page_counts_answers_and_names_nobody(scene, manager):
    run_id = scene.run()
    scene.release(run_id)
    row = next(iter(scene.proposals(run_id).values()))
    person = next(one for one in scene.people.values() if one.id == row.mentee_id)
    scene.answer(row, person, yes=False, reason="conflict")
    manager.get(f"/runs/{run_id}/release")
    says = manager.says()
    assert "waiting for answers 1" in says
    assert "did not come about 1" in says
    assert not any(one.display_name in says for one in scene.people.values())
    assert "Take the release back" not in says

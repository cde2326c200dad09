"""Rule sets of the matching: versions, previews, what follows from them."""

import datetime as dt
import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.matching import documents, forms, kernels, operations, rule_sets, rules, store, tasks
from rmplugin.matching.models import MatchRuleSet
from rmplugin.matching.scoring import Rules, Weights
from rmplugin.people.reporting import reporting_map
from rmplugin.programmes.models import Enrolment, Programme
from tests.factories.matching import Scene, add_mentor, make_scene
from tests.factories.people import make_person


def put_in_force(scene: Scene, **changes) -> int:
    with scene.transaction() as db:
        row = rule_sets.draft(db, scene.programme, changes, "command", scene.runtime.clock())
        rule_sets.make_live(db, row, "command", scene.runtime.clock())
        return row.version


def preview(scene: Scene, **changes) -> dict:
    with scene.runtime.database.transaction(scene.tenant.id, write=False) as db:
        return rule_sets.preview(db, scene.programme, changes, scene.runtime.clock())


def test_programme_without_a_rule_set_goes_by_the_defaults_and_its_own_settings(runtime, tenant):
    scene = make_scene(runtime, tenant)
    with scene.transaction() as db:
        book = rules.book_in_force(db, scene.programme)
        assert db.scalar(select(func.count()).select_from(MatchRuleSet)) == 0
    session = scene.programme.session_minutes
    assert (book.version, book.rules, book.weights) == (1, Rules(min_common_minutes=session), Weights())
    assert book.options == rules.Options()


def test_first_run_keeps_the_defaults_as_version_1_and_names_it(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    run = scene.get_run(scene.run())
    with scene.transaction() as db:
        row = rules.get_rule_set(db, scene.programme.id, 1)
        document = documents.run_document(db, run)
        assert rules.values_of(row) == rules.default_values()
    assert (row.state, run.rule_set_id, run.rule_set_version) == ("live", row.id, 1)
    assert document["rule_set"] == {"id": str(row.id), "version": 1}


def test_live_rules_are_followed_by_a_new_version_and_stay_as_they_were(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    first = scene.run()
    assert put_in_force(scene, coverage="50000", note="Less weight on skills") == 2
    second = scene.run()
    with scene.transaction() as db:
        old, new = (
            rules.get_rule_set(db, scene.programme.id, 1),
            rules.get_rule_set(db, scene.programme.id, 2),
        )
    assert (old.state, old.weights["coverage"]) == ("retired", 60_000)
    assert (new.state, new.weights["coverage"], new.based_on, new.note) == (
        "live", 50_000, 1, "Less weight on skills",
    )  # fmt: skip
    assert [scene.get_run(run).rule_set_version for run in (first, second)] == [1, 2]
    assert scene.get_run(second).weights["coverage"] == 50_000
    assert scene.get_run(first).total_score > scene.get_run(second).total_score


def test_draft_changes_nothing_until_it_is_live_and_is_drafted_over(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    for weight in (50_000, 40_000):
        with scene.transaction() as db:
            row = rule_sets.draft(db, scene.programme, {"coverage": weight}, "command", runtime.clock())
            assert (row.version, row.state, row.based_on) == (2, "draft", 1)
    assert scene.get_run(scene.run()).weights["coverage"] == 60_000
    with scene.transaction() as db:
        assert [(row.version, row.state) for row in rules.list_rule_sets(db, scene.programme.id)] == [
            (2, "draft"), (1, "live"),
        ]  # fmt: skip
        assert rules.get_rule_set(db, scene.programme.id, 2).weights["coverage"] == 40_000


def test_retired_rules_do_not_come_back_but_can_be_based_on(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    put_in_force(scene, answer_days=3)
    put_in_force(scene, answer_days=5)
    with scene.transaction() as db:
        row = rules.get_rule_set(db, scene.programme.id, 2)
        with pytest.raises(ConflictError, match="rule_set_retired"):
            rule_sets.make_live(db, row, "command", runtime.clock())
        again = rule_sets.draft(db, scene.programme, {}, "command", runtime.clock(), based_on=2)
    assert (again.version, again.based_on, again.options["answer_days"]) == (4, 2, 3)


def test_rules_do_not_change_while_a_matching_by_them_is_computed(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    scene.queue()
    with pytest.raises(ConflictError, match="run_queued"):
        put_in_force(scene, answer_days=3)


def test_version_of_another_programme_or_tenant_is_not_found(runtime, tenant, other_tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    scene.run()
    with runtime.database.transaction(other_tenant.id) as db, pytest.raises(NotFoundError):
        rules.get_rule_set(db, scene.programme.id, 1)
    with scene.transaction() as db, pytest.raises(NotFoundError):
        rules.get_rule_set(db, uuid.uuid4(), 1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"coverage": "0"}, "coverage"),
        ({"learning": "-1"}, "learning"),
        ({"tenure": "many"}, "tenure"),
        ({"min_rank_gap": 0}, "min_rank_gap"),
        ({"answer_days": 61}, "answer_days"),
        ({"mentors_per_mentee": 4}, "mentors_per_mentee"),
        ({"objective": "best"}, "objective"),
        ({"rerun": "daily"}, "rerun"),
        ({"needs_language": "perhaps"}, "needs_language"),
        ({"junior_by_rank": "no", "junior_by_tenure": "no"}, "junior_by_rank"),
        ({"self_service": "yes", "wishes": 0}, "wishes"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_value_that_cannot_be_is_refused_by_its_field(runtime, tenant, changes, field):
    scene = make_scene(runtime, tenant)
    with pytest.raises(InputError) as error:
        put_in_force(scene, **changes)
    assert list(error.value.details) == [field]
    assert error.value.details[field]


def test_tenure_way_that_the_programme_lacks_cannot_be_the_only_one(runtime, tenant):
    scene = make_scene(runtime, tenant)
    with scene.transaction() as db:
        db.get_one(Programme, scene.programme.id).mentor_max_tenure_months = None
    scene.programme.mentor_max_tenure_months = None
    with pytest.raises(InputError) as error:
        put_in_force(scene, junior_by_rank=False)
    assert list(error.value.details) == ["junior_by_rank"]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "coverage": st.integers(1, forms.MOST_POINTS),
            "wishes": st.integers(0, forms.MOST_POINTS),
            "min_rank_gap": st.integers(1, 50),
            "min_common_minutes": st.none() | st.integers(0, 600),
            "junior_by_tenure": st.none() | st.booleans(),
            "bar_same_team": st.booleans(),
            "answer_days": st.integers(1, 60),
            "objective": st.sampled_from(forms.OBJECTIVES),
            "note": st.none() | st.text(min_size=1, max_size=500),
        },
    )
)
def test_values_when_kept_and_read_again_are_the_same_and_ready_for_use(changes):
    programme = Programme(session_minutes=45, mentor_max_tenure_months=24)
    values = rules.check_values(programme, rules.default_values(), changes)
    columns = rules.columns_of(values)
    row = MatchRuleSet(id=uuid.uuid4(), version=3, **columns)
    assert rules.values_of(row) == values == rules.default_values() | changes
    book = rules.read_book(programme, values, row)
    assert book.rules.min_common_minutes == (
        45 if values["min_common_minutes"] is None else values["min_common_minutes"]
    )
    last_call = book.options.last_call
    if last_call is None:
        assert values["answer_days"] == 1
    else:
        assert dt.timedelta(days=1) <= last_call < book.options.answer_time


# --- the preview -------------------------------------------------------------------------------------------


def test_preview_counts_people_and_admissible_pairs_and_writes_nothing(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben Cem", "Pia Qin")
    with scene.transaction() as db:
        add_mentor(db, scene.programme, "Fay", runtime.clock(), languages=["fr"])
    found = preview(scene)
    counts = {name: found[name] for name in ("mentors", "mentees", "pairs")}
    assert counts == {"mentors": 4, "mentees": 2, "pairs": 6}
    assert (found["mentees_with_one"], found["mentees_with_three"]) == (2, 2)
    assert preview(scene, min_tenure_gap_months=480, junior_by_rank="no")["pairs"] == 0
    with scene.transaction() as db:
        assert db.scalar(select(func.count()).select_from(MatchRuleSet)) == 0


def test_preview_in_small_pieces_counts_the_same(runtime, tenant, monkeypatch):
    scene = make_scene(runtime, tenant, "Ana Ben Cem", "Pia Qin Rui")
    whole = preview(scene)
    monkeypatch.setattr(kernels, "CELLS_PER_BLOCK", 1)
    assert preview(scene) == whole


def test_preview_of_an_empty_pool_is_all_zeros(runtime, tenant):
    found = preview(make_scene(runtime, tenant))
    assert {found[name] for name in ("mentors", "mentees", "pairs", "mentees_with_one")} == {0}


# --- options -----------------------------------------------------------------------------------------------


def test_mentee_gets_no_more_mentors_than_the_rules_allow(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben Cem", "Pia")
    with scene.transaction() as db:
        db.scalars(select(Enrolment).where(Enrolment.person_id == scene.Pia.id)).one().capacity = 3
    assert len(scene.live(scene.run())) == 3
    put_in_force(scene, mentors_per_mentee=2)
    run_id = scene.run()
    assert len(scene.live(run_id)) == 2
    put_in_force(scene, mentors_per_mentee=1)
    assert scene.release(run_id) == (1, 1), "what the newest rules no longer allow is left out"


def test_time_to_answer_is_that_of_the_rules(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    put_in_force(scene, answer_days=5)
    run_id = scene.run()
    scene.release(run_id)
    row = scene.proposals(run_id)["Ana", "Pia"]
    assert row.expires_at == runtime.clock() + dt.timedelta(days=5)


def test_objective_is_that_of_the_rules_unless_the_run_names_one(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    put_in_force(scene, objective="fair")
    assert scene.get_run(scene.queue()).objective == "fair"


def test_bonus_for_kept_pairs_reaches_the_engine(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    scene.run()

    def pool(run_id):
        with scene.transaction() as db:
            return store.load_pool(db, scene.programme, runtime.clock(), run=scene.get_run(run_id))

    assert pool(scene.queue()).kept == ()
    tasks.run_queued(runtime)
    put_in_force(scene, kept_bonus=3000)
    # Other rules show what they do by themselves.
    first = scene.queue()
    assert pool(first).kept == ()
    tasks.run_queued(runtime)
    second = scene.queue()
    found = pool(second)
    assert (found.kept, found.weights.kept) == (((str(scene.Ana.id), str(scene.Pia.id)),), 3000)
    tasks.run_queued(runtime)
    # The bonus decides, and is in no score.
    assert scene.get_run(second).total_score == scene.get_run(first).total_score
    assert scene.get_run(second).metrics["kept"] == 1


def test_bonus_for_kept_pairs_is_not_for_a_run_with_another_objective(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    put_in_force(scene, kept_bonus=3000)
    scene.run()
    with scene.transaction() as db:
        run = operations.start_run(db, scene.programme, "test", runtime.clock(), "stable")
        db.flush()
        assert store.load_pool(db, scene.programme, runtime.clock(), run=run).kept == ()


# --- the pool of few ---------------------------------------------------------------------------------------


def test_pool_of_few_judges_a_pair_as_the_whole_pool_does(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    with scene.transaction() as db:
        above = db.get_one(type(scene.Qin), scene.Qin.id)
        above.manager_id, above.manager_state = scene.Pia.id, "resolved"
        ben = db.get_one(type(scene.Ben), scene.Ben.id)
        ben.manager_id, ben.manager_state = scene.Qin.id, "resolved"
    now = runtime.clock()
    with scene.transaction() as db:
        whole = store.load_pool(db, scene.programme, now)
        for mentor in (scene.Ana, scene.Ben):
            for mentee in (scene.Pia, scene.Qin):
                few = store.load_pool(db, scene.programme, now, only=(mentor.id, mentee.id))
                ids = str(mentor.id), str(mentee.id)
                assert {c.id for c in (*few.mentors, *few.mentees)} == set(ids)
                assert store.check_pairs(few, [ids]) == store.check_pairs(whole, [ids])
        pair = str(scene.Ben.id), str(scene.Pia.id)
        assert store.check_pairs(whole, [pair])[pair] == ["reporting_line"]


def test_left_out_are_read_by_page(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben Cem Dua", "Pia")
    run_id = scene.run()
    with scene.transaction() as db:
        pages = [documents.list_left_out(db, run_id, offset=low, limit=2) for low in (0, 2)]
    assert [len(page) for page in pages] == [2, 1]
    assert len({row.person_id for page in pages for row in page}) == 3


def test_lines_above_a_few_are_those_of_the_whole_company(runtime, tenant):
    chance = random.Random(7)
    with runtime.database.transaction(tenant.id) as db:
        people = [make_person(db) for _k in range(30)]
        for k, person in enumerate(people[1:], 1):
            person.manager_id, person.manager_state = people[chance.randrange(k)].id, "resolved"
        # A second account lists two of them with another manager.
        for double, counts in ((people[20], people[5]), (people[21], people[6])):
            double.same_person_id = counts.id
        db.flush()
        whole = reporting_map(db)

        def line(of: uuid.UUID, lines) -> list[uuid.UUID]:
            found = []
            while of in lines:
                of = lines[of]
                found.append(of)
            return found

        for person in people:
            assert line(person.id, reporting_map(db, [person.id])) == line(person.id, whole)
        # Of somebody who stands for two rows, both lines are known.
        assert people[20].id not in whole
        assert line(people[5].id, whole)

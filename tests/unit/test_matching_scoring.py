"""Hard rules and points, checked against slow code that walks and counts without arrays."""

import random
from dataclasses import fields, replace
from datetime import date, time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmplugin.errors import InputError
from rmplugin.matching.scoring import (
    FACTORS,
    RULE_CODES,
    SLOTS_PER_WEEK,
    Candidate,
    Rules,
    Weights,
    failed_rules,
    number_reporting_lines,
    working_hours_mask,
)
from rmplugin.matching.solver import all_pairs
from tests.factories.tables import Table

OFFICE = working_hours_mask(range(5), time(9), time(17), "UTC", date(2026, 11, 23))
JUNIOR = Candidate(
    "junior",
    "mentor",
    rank=2,
    hired_on=date(2025, 9, 1),
    manager_id="lead-a",
    department="data",
    site="Lyon",
    languages=frozenset({"en", "fr"}),
    hours=OFFICE,
    motivation=5,
    offers={"ai": 4, "video": 2},
    wants={"budgets": (2, 1)},
)
SENIOR = Candidate(
    "senior",
    "mentee",
    rank=8,
    hired_on=date(2009, 4, 1),
    manager_id="board",
    department="sales",
    site="Oslo",
    languages=frozenset({"en"}),
    hours=OFFICE,
    motivation=4,
    offers={"budgets": 4},
    wants={"ai": (3, 1), "video": (4, 2), "slang": (1, 3)},
)
COMPANY = {
    "junior": "lead-a",
    "lead-a": "head-a",
    "head-a": "boss",
    "senior": "board",
    "board": "boss",
    "boss": None,
}


def check(
    mentor: Candidate = JUNIOR, mentee: Candidate = SENIOR, reporting=None, rules=None, blocked=()
) -> list[str]:
    table = Table([mentor], [mentee], reporting=reporting or COMPANY, rules=rules, blocked=blocked)
    return table.failed[mentor.id, mentee.id]


# --- one planted case per rule -----------------------------------------------------------------------------


def test_rules_when_every_rule_is_kept_fails_nothing():
    assert check() == []


@pytest.mark.parametrize(
    ("mentor", "mentee", "code"),
    [
        ({"offers": {"knitting": 4}}, {}, "no_candidate_skill"),
        ({"offers": {"ai": 0}}, {}, "no_candidate_skill"),
        ({"rank": 9, "hired_on": date(2000, 1, 1)}, {}, "no_junior"),
        ({"manager_id": "board"}, {}, "same_team"),
        ({"languages": frozenset({"fr"})}, {}, "language"),
        ({"languages": frozenset()}, {}, "language"),
        ({"hours": 0}, {}, "hours"),
        ({"hours": OFFICE << 4 * 9}, {"hours": OFFICE & ~(OFFICE << 4 * 9)}, "hours"),
    ],
)
def test_rules_when_one_rule_is_broken_names_only_this_rule(mentor, mentee, code):
    assert check(replace(JUNIOR, **mentor), replace(SENIOR, **mentee)) == [code]


def test_rules_when_both_are_one_person_names_this():
    assert "same_person" in check(replace(JUNIOR, id="x"), replace(SENIOR, id="x"))


@pytest.mark.parametrize("pair", [("junior", "senior"), ("senior", "junior")])
def test_rules_when_the_two_must_not_meet_again_is_blocked_in_either_order(pair):
    assert check(blocked=[pair, ("nobody", "senior")]) == ["blocked"]


def test_rules_when_several_rules_are_broken_names_each_in_fixed_order():
    mentor = replace(JUNIOR, offers={}, languages=frozenset({"fi"}), rank=8, hired_on=date(2001, 1, 1))
    assert check(mentor) == ["no_candidate_skill", "no_junior", "language"]


@pytest.mark.parametrize(
    "reporting",
    [
        {"junior": "senior"},
        {"junior": "m", "m": "n", "n": "senior"},
        {"senior": "m", "m": "junior"},
        {"junior": "senior", "senior": "junior"},
        {"junior": "m", "m": "senior", "senior": "junior"},
        {"junior": "m", "m": "loop", "loop": "senior", "senior": "loop"},
    ],
    ids=["direct", "deep", "upside-down", "circle-of-two", "circle-of-three", "below-a-circle"],
)
def test_rules_when_one_stands_above_the_other_at_any_depth_is_barred(reporting):
    assert check(reporting=reporting) == ["reporting_line"]


@pytest.mark.parametrize(
    "reporting",
    [
        {"junior": "gone", "senior": "elsewhere"},
        {"junior": "junior", "senior": None},
        {"junior": "loop", "loop": "pool", "pool": "loop", "senior": None},
        {"unrelated": None},
    ],
    ids=["orphans", "own-manager", "circle-elsewhere", "not-in-the-roster"],
)
def test_rules_when_manager_data_is_untidy_bars_nobody_else(reporting):
    assert check(reporting=reporting) == []


# --- junior by grade or by tenure --------------------------------------------------------------------------


@pytest.mark.parametrize("mentor_rank", [8, 9, None])
def test_rules_when_mentor_is_not_lower_and_was_hired_earlier_is_never_junior(mentor_rank):
    for rules in (Rules(), Rules(min_tenure_gap_months=0), Rules(junior_by_rank=False)):
        assert check(replace(JUNIOR, rank=mentor_rank, hired_on=date(2009, 3, 31)), rules=rules) == [
            "no_junior"
        ]


@pytest.mark.parametrize(
    ("mentor", "mentee", "rules", "junior"),
    [
        ((7, date(2000, 1, 1)), (8, date(2009, 4, 1)), Rules(), True),
        ((7, date(2000, 1, 1)), (8, date(2009, 4, 1)), Rules(min_rank_gap=2), False),
        ((7, date(2000, 1, 1)), (8, date(2009, 4, 1)), Rules(junior_by_rank=False), False),
        ((8, date(2010, 4, 1)), (8, date(2009, 4, 1)), Rules(), True),
        ((8, date(2010, 3, 31)), (8, date(2009, 4, 1)), Rules(), False),
        ((9, date(2025, 1, 1)), (8, date(2009, 4, 1)), Rules(), True),
        ((9, date(2025, 1, 1)), (8, date(2009, 4, 1)), Rules(junior_by_tenure=False), False),
        ((8, date(2009, 4, 1)), (8, date(2009, 4, 1)), Rules(min_tenure_gap_months=0), False),
        ((8, date(2009, 4, 2)), (8, date(2009, 4, 1)), Rules(min_tenure_gap_months=0), True),
        ((8, date(2024, 2, 29)), (8, date(2023, 8, 31)), Rules(min_tenure_gap_months=6), True),
        ((None, date(2020, 1, 1)), (8, date(2009, 4, 1)), Rules(), True),
        ((1, None), (None, date(2009, 4, 1)), Rules(), False),
        ((1, date(2020, 1, 1)), (8, None), Rules(), True),
        ((8, date(2020, 1, 1)), (8, None), Rules(), False),
        ((None, None), (None, None), Rules(min_tenure_gap_months=0), False),
        ((-3, None), (-2, None), Rules(), True),
    ],
)
def test_rules_when_grade_and_tenure_vary_follows_either_one(mentor, mentee, rules, junior):
    failed = check(
        replace(JUNIOR, rank=mentor[0], hired_on=mentor[1]),
        replace(SENIOR, rank=mentee[0], hired_on=mentee[1]),
        rules=rules,
    )
    assert failed == ([] if junior else ["no_junior"])


def test_candidate_when_looked_at_has_no_field_about_birth_age_or_other_traits():
    known = (
        "id role rank hired_on manager_id department site languages hours capacity motivation offers wants"
    )
    assert [field.name for field in fields(Candidate)] == known.split()


def test_build_when_new_joiner_stands_as_high_as_the_mentee_pairs_them_by_tenure_alone():
    joiner = replace(JUNIOR, rank=8, hired_on=date(2026, 10, 1))
    table = Table([joiner], [SENIOR], reporting=COMPANY)
    assert table.contributions(0)["tenure"] == Weights().tenure


@pytest.mark.parametrize(
    "rules",
    [
        {"min_rank_gap": 0},
        {"min_tenure_gap_months": -1},
        {"min_common_minutes": -1},
        {"junior_by_rank": False, "junior_by_tenure": False},
    ],
)
def test_rules_when_out_of_range_are_refused(rules):
    with pytest.raises(ValueError):
        Rules(**rules)


@pytest.mark.parametrize(
    "wrong",
    [
        {"offers": {"ai": 5}},
        {"wants": {"ai": (1, 4)}},
        {"wants": {"ai": (-1, 1)}},
        {"capacity": -1},
        {"motivation": 0},
    ],
)
def test_candidate_when_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError):
        replace(JUNIOR, **wrong)


# --- working hours -----------------------------------------------------------------------------------------


def hours_of(mask: int) -> set[float]:
    return {slot / 4 for slot in range(SLOTS_PER_WEEK) if mask >> slot & 1}


@pytest.mark.parametrize(
    ("zone", "on", "first"),
    [
        ("UTC", date(2026, 1, 5), 9),
        ("Europe/Berlin", date(2026, 1, 5), 8),
        ("Europe/Berlin", date(2026, 7, 6), 7),
        ("America/New_York", date(2026, 3, 20), 13),
        ("Asia/Kathmandu", date(2026, 1, 5), 3.25),
        ("Asia/Tokyo", date(2026, 1, 5), 0),
    ],
)
def test_working_hours_mask_when_zone_and_date_vary_moves_the_day_in_utc(zone, on, first):
    assert hours_of(working_hours_mask([0], time(9), time(10), zone, on)) == {first + k / 4 for k in range(4)}


def test_working_hours_mask_when_local_monday_is_sunday_in_utc_wraps_the_week():
    mask = working_hours_mask([0], time(9), time(10), "Pacific/Auckland", date(2026, 1, 5))
    assert hours_of(mask) == {164, 164.25, 164.5, 164.75}


def test_working_hours_mask_when_shift_passes_midnight_goes_on_next_day():
    mask = working_hours_mask([6], time(23), time(1), "UTC", date(2026, 1, 5))
    assert hours_of(mask) == {167, 167.25, 167.5, 167.75, 0, 0.25, 0.5, 0.75}


def test_working_hours_mask_when_minutes_are_odd_keeps_whole_quarters_only():
    mask = working_hours_mask([0], time(9, 1), time(9, 59), "UTC", date(2026, 1, 5))
    assert hours_of(mask) == {9.25, 9.5}


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../secret", ""])
def test_working_hours_mask_when_zone_is_unknown_says_so(zone):
    with pytest.raises(InputError) as caught:
        working_hours_mask([0], time(9), time(17), zone, date(2026, 1, 5))
    assert caught.value.code == "unknown_time_zone"


def test_rules_when_common_time_is_only_in_pieces_shorter_than_a_session_is_barred():
    pieces = sum(0b11 << 8 * k for k in range(20))
    mentor = replace(JUNIOR, hours=pieces)
    assert check(mentor, rules=Rules(min_common_minutes=60)) == ["hours"]
    assert check(mentor, rules=Rules(min_common_minutes=30)) == []


def test_rules_when_the_common_hour_passes_the_end_of_the_week_is_allowed():
    night = 0b11 | 0b11 << (SLOTS_PER_WEEK - 2)
    pair = replace(JUNIOR, hours=night), replace(SENIOR, hours=night)
    assert check(*pair, rules=Rules(min_common_minutes=60)) == []
    assert check(*pair, rules=Rules(min_common_minutes=75)) == ["hours"]


def test_rules_when_no_common_time_is_asked_ignores_hours():
    assert check(replace(JUNIOR, hours=0), rules=Rules(min_common_minutes=0)) == []


# --- points ------------------------------------------------------------------------------------------------


def test_build_when_pair_is_known_gives_the_points_worked_out_by_hand():
    table = Table([JUNIOR], [SENIOR], reporting=COMPANY)
    # ai: weight 4 of 7, full. video: 2 of 7, half the level. slang: 1 of 7, not offered.
    coverage = 60_000 * 4 // 7 + 60_000 * 2 // 7 * 2 // 4
    assert table.contributions(0) == {
        "wishes": 0,
        "kept": 0,
        "coverage": coverage,
        "learning": 16_000,
        "motivation": 12_000 * 9 // 10,
        "other_department": 4_000,
        "other_site": 2_000,
        "tenure": 6_000,
    }
    assert int(table.score[0]) == coverage + 16_000 + 10_800 + 4_000 + 2_000 + 6_000


def test_build_when_department_and_site_are_the_same_or_unknown_gives_no_bonus():
    for change in ({"department": "sales", "site": "Oslo"}, {"department": None, "site": None}):
        points = Table([replace(JUNIOR, **change)], [SENIOR], reporting=COMPANY).contributions(0)
        assert (points["other_department"], points["other_site"]) == (0, 0)


@pytest.mark.parametrize(("level", "share"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_build_when_offer_is_below_the_wanted_level_counts_in_part(level, share):
    mentee = replace(SENIOR, wants={"ai": (3, 2)})
    points = Table([replace(JUNIOR, offers={"ai": level})], [mentee], reporting=COMPANY).contributions(0)
    assert points["coverage"] == 60_000 * share // 3


def test_build_when_one_more_wanted_skill_is_covered_never_scores_less():
    less = Table([replace(JUNIOR, offers={"ai": 4})], [SENIOR], reporting=COMPANY).score[0]
    more = Table([replace(JUNIOR, offers={"ai": 4, "slang": 1})], [SENIOR], reporting=COMPANY).score[0]
    assert more > less


def test_build_when_weights_are_tiny_still_gives_each_allowed_pair_a_point():
    weights = Weights(coverage=1, learning=0, motivation=0, other_department=0, other_site=0, tenure=0)
    assert Table([JUNIOR], [SENIOR], reporting=COMPANY, weights=weights).score[0] >= 1


def test_build_when_a_side_is_empty_gives_an_empty_table():
    for mentors, mentees in (([], [SENIOR]), ([JUNIOR], []), ([], [])):
        assert len(Table(mentors, mentees, reporting=COMPANY).score) == 0


def test_build_when_a_person_comes_twice_on_one_side_is_refused():
    with pytest.raises(ValueError):
        Table([JUNIOR, JUNIOR], [SENIOR], reporting=COMPANY)


@pytest.mark.parametrize(
    "wrong", [{"coverage": 0}, {"tenure": -1}, {"learning": 2**24}, {"priorities": (2, 1, 0)}]
)
def test_weights_when_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError):
        Weights(**wrong)


# --- properties against slow code --------------------------------------------------------------------------

IDS = [f"p{k}" for k in range(9)]
SKILLS = ["a", "b", "c", "d"]
small_dates = st.none() | st.dates(date(2019, 1, 1), date(2021, 12, 31))


def candidates(role: str) -> st.SearchStrategy[Candidate]:
    return st.builds(
        Candidate,
        id=st.sampled_from(IDS),
        role=st.just(role),
        rank=st.none() | st.integers(0, 4),
        hired_on=small_dates,
        manager_id=st.none() | st.sampled_from(IDS),
        department=st.none() | st.sampled_from(["x", "y"]),
        site=st.none() | st.sampled_from(["x", "y"]),
        languages=st.frozensets(st.sampled_from(["en", "de", "fr"])),
        hours=st.integers(0, 2**40 - 1).map(lambda bits: bits | bits << (SLOTS_PER_WEEK - 40)),
        capacity=st.integers(0, 3),
        motivation=st.integers(1, 5),
        offers=st.dictionaries(st.sampled_from(SKILLS), st.integers(0, 4)),
        wants=st.dictionaries(st.sampled_from(SKILLS), st.tuples(st.integers(0, 4), st.integers(1, 3))),
    )


def sides(role: str) -> st.SearchStrategy[list[Candidate]]:
    return st.lists(candidates(role), max_size=5, unique_by=lambda candidate: candidate.id)


managers = st.dictionaries(st.sampled_from(IDS), st.none() | st.sampled_from(IDS))
rule_sets = st.builds(
    Rules,
    min_rank_gap=st.integers(1, 2),
    min_tenure_gap_months=st.integers(0, 14),
    junior_by_rank=st.booleans(),
    junior_by_tenure=st.just(True),
    min_common_minutes=st.sampled_from([0, 15, 40, 60]),
)


def bosses(person: str, reporting: dict[str, str | None]) -> set[str]:
    """Everybody above a person, by walking up until somebody comes again."""
    found: set[str] = set()
    boss = reporting.get(person)
    while boss is not None and boss not in found:
        found.add(boss)
        boss = reporting.get(boss)
    return found


def month_later(day: date, months: int) -> tuple[int, int, int]:
    month = day.month - 1 + months
    year, month = day.year + month // 12, month % 12 + 1
    longest = [31, 29 if year % 4 == 0 else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    return year, month, min(day.day, longest)


def slow_check(a: Candidate, b: Candidate, reporting, rules: Rules, blocked) -> set[str]:
    failed = set()
    if not any(a.offers.get(skill) for skill in b.wants):
        failed.add("no_candidate_skill")
    lower = a.rank is not None and b.rank is not None and a.rank + rules.min_rank_gap <= b.rank
    later = False
    if a.hired_on and b.hired_on:
        enough = month_later(b.hired_on, rules.min_tenure_gap_months)
        later = a.hired_on > b.hired_on and (a.hired_on.year, a.hired_on.month, a.hired_on.day) >= enough
    if not ((lower and rules.junior_by_rank) or later):
        failed.add("no_junior")
    if a.id == b.id:
        failed.add("same_person")
    else:
        if a.id in bosses(b.id, reporting) or b.id in bosses(a.id, reporting):
            failed.add("reporting_line")
        if a.manager_id is not None and a.manager_id == b.manager_id:
            failed.add("same_team")
    if not a.languages & b.languages:
        failed.add("language")
    need = -(-rules.min_common_minutes // 15)
    common = a.hours & b.hours
    runs = (all(common >> (s + k) % SLOTS_PER_WEEK & 1 for k in range(need)) for s in range(SLOTS_PER_WEEK))
    if need and not any(runs):
        failed.add("hours")
    if (a.id, b.id) in blocked or (b.id, a.id) in blocked:
        failed.add("blocked")
    return failed


def scored(table: Table) -> dict[tuple[str, str], dict[str, int]]:
    return {
        (table.mentors[a].id, table.mentees[b].id): table.contributions(k) | {"score": int(table.score[k])}
        for k, (a, b) in enumerate(zip(table.mentor, table.mentee, strict=True))
    }


@settings(deadline=None, max_examples=150)
@given(
    st.tuples(sides("mentor"), sides("mentee")),
    managers,
    rule_sets,
    st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=4),
    st.randoms(use_true_random=False),
)
def test_build_when_people_are_random_agrees_with_slow_code_in_any_order(
    people, reporting, rules, blocked, rng
):
    mentors, mentees = people
    whole = {c.id: c.manager_id for c in [*mentors, *mentees]} | reporting
    table = Table(mentors, mentees, reporting=whole, rules=rules, blocked=blocked)
    found = {pair: set(failed) for pair, failed in table.failed.items()}
    assert found == {(a.id, b.id): slow_check(a, b, whole, rules, blocked) for a in mentors for b in mentees}
    points = scored(table)
    assert set(points) == {pair for pair, failed in found.items() if not failed}
    for pair in points.values():
        assert sum(pair[factor] for factor in FACTORS) == pair["score"] > 0
    walked = {(pair.mentor_id, pair.mentee_id): pair.score for pair in all_pairs(table.problem)}
    assert walked == table.scored()
    rng.shuffle(mentors)
    rng.shuffle(mentees)
    again = Table(
        mentors, mentees, reporting=dict(reversed(whole.items())), rules=rules, blocked=blocked[::-1]
    )
    assert (again.failed, scored(again)) == (table.failed, points)


@settings(deadline=None, max_examples=300)
@given(managers)
def test_number_reporting_lines_when_data_has_circles_and_orphans_agrees_with_walking(reporting):
    intervals = number_reporting_lines(reporting)
    for one in intervals:
        for other in intervals:
            contains = intervals[one][0] <= intervals[other][0] <= intervals[one][1]
            assert contains == (one == other or one in bosses(other, reporting))


def test_number_reporting_lines_when_the_chain_is_very_long_does_not_recurse():
    chain = {str(k): str(k + 1) for k in range(50_000)}
    assert number_reporting_lines(chain)["50000"] == (0, 50_000)


def test_build_when_there_are_more_languages_and_rows_than_fit_one_word_and_block_stays_exact():
    rng = random.Random(4)
    words = [f"language {k}" for k in range(150)]
    mentors = [replace(JUNIOR, id=f"a{k}", languages=frozenset(rng.sample(words, 12))) for k in range(40)]
    mentees = [replace(SENIOR, id=f"b{k}", languages=frozenset(rng.sample(words, 12))) for k in range(600)]
    table = Table(mentors, mentees, reporting={})
    expected = {(a.id, b.id) for a in mentors for b in mentees if a.languages & b.languages}
    assert 0 < len(expected) < 40 * 600
    assert set(scored(table)) == expected


def test_rule_codes_when_stored_in_a_cell_fit_its_bits():
    assert len(RULE_CODES) <= 16
    assert failed_rules(2 ** len(RULE_CODES) - 1) == list(RULE_CODES)

"""How a pool stands: every count against looking at each pair by itself."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rmplugin.matching import health
from rmplugin.matching.scoring import Candidate, Rules
from tests.factories.tables import Table

RULES = Rules(min_common_minutes=0)
SKILLS = st.dictionaries(st.sampled_from(["ai", "data", "law"]), st.integers(0, 4), max_size=2)


def side(role: str) -> st.SearchStrategy[list[Candidate]]:
    one = st.builds(
        Candidate,
        id=st.integers(0, 10**6).map(lambda number: f"{role} {number}"),
        role=st.just(role),
        rank=st.integers(1, 4) if role == "mentor" else st.integers(3, 6),
        manager_id=st.sampled_from([None, "x", "y"]),
        languages=st.sampled_from([frozenset({"en"}), frozenset({"de"}), frozenset({"en", "de"})]),
        capacity=st.integers(1, 2),
        offers=SKILLS,
        wants=SKILLS.map(lambda found: {skill: (level, 1) for skill, level in found.items()}),
    )
    return st.lists(one, max_size=7, unique_by=lambda candidate: candidate.id)


@given(side("mentor"), side("mentee"))
def test_partners_and_lone_bars_are_those_of_every_single_pair(mentors, mentees):
    table = Table(mentors, mentees, rules=RULES, reporting={})
    reach = health.count_partners(table.problem)
    allowed = [pair for pair, failed in table.failed.items() if not failed]
    by_mentor, by_mentee = (Counter(pair[k] for pair in allowed) for k in (0, 1))
    assert reach.mentors.tolist() == [by_mentor[one.id] for one in table.mentors]
    assert reach.mentees.tolist() == [by_mentee[one.id] for one in table.mentees]
    alone = Counter(failed[0] for failed in table.failed.values() if len(failed) == 1)
    assert health.count_lone_bars(table.problem) == (dict(alone), True)
    sides = health.count_sides(table.problem, reach)
    assert sides["pairs"] == len(allowed)
    assert sides["mentees"]["with_three"] == sum(count >= 3 for count in by_mentee.values())


def test_lone_bars_of_a_large_pool_are_scaled_up_from_a_sample(monkeypatch):
    monkeypatch.setattr(health, "PAIRS_TO_TEST", 20)
    mentors = [Candidate(f"a{k}", "mentor", rank=1, offers={"ai": 3}) for k in range(4)]
    mentees = [Candidate(f"b{k}", "mentee", rank=5, wants={"ai": (3, 1)}) for k in range(40)]
    table = Table(mentors, mentees, rules=RULES, reporting={})
    assert health.count_lone_bars(table.problem) == ({"language": 160}, False)


@given(side("mentor"), side("mentee"), st.integers(0, 3))
def test_each_suggestion_helps_as_much_as_it_says_and_nobody_would_have_helped_more(mentors, mentees, have):
    table = Table(mentors, mentees, rules=RULES, reporting={})
    counts = {one.id: have for one in mentees}
    left = {one.id for one in mentors}

    def gains(person: str) -> tuple[int, int, int]:
        met = [counts[b] for (a, b), failed in table.failed.items() if a == person and not failed]
        return sum(n == 0 for n in met), sum(n == 2 for n in met), sum(n < 3 for n in met)

    for entry in health.suggest(table.problem, dict.fromkeys(counts, have)):
        if "could" in entry:
            assert not next(one for one in mentors if one.id == entry["person"]).offers
            continue
        said = entry["firsts"], entry["thirds"], entry["helped"]
        assert said == gains(entry["person"]) == max(map(gains, left))
        assert said[2] > 0
        left.remove(entry["person"])
        for (mentor, mentee), failed in table.failed.items():
            counts[mentee] += mentor == entry["person"] and not failed

"""The made-up company that measurements are about."""

import json

import pytest
from click.testing import CliRunner

from rmplugin.cli import rmplugin
from rmplugin.matching import kernels
from rmplugin.matching.columns import build
from rmplugin.matching.synthetic import make_company


@pytest.mark.parametrize("seed", [1, 2])
def test_make_company_when_rules_are_the_usual_allows_ten_to_sixteen_pairs_in_a_hundred(seed):
    company = make_company(400, seed)
    problem = build(company.mentors, company.mentees, reporting=company.reporting)
    allowed = sum(len(block.mentor) for block in kernels.walk(problem))
    assert 0.10 < allowed / 400**2 < 0.16


def test_make_company_when_seed_and_size_are_the_same_is_the_same():
    one, two, other = make_company(30, 7, 3), make_company(30, 7, 3), make_company(30, 8, 3)
    assert one.mentors == two.mentors
    assert one.mentees == two.mentees
    assert one.mentors != other.mentors
    assert {person.capacity for person in one.mentors} == {1, 2, 3}
    assert not {person.id for person in one.mentors} & {person.id for person in one.mentees}


def test_match_bench_when_asked_for_json_prints_the_document_of_a_run_without_a_database(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("RM_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    command = ["match", "bench", "--size", "60", "--seed", "3", "--most-partners", "2", "--json"]
    answers = [CliRunner().invoke(rmplugin, command, catch_exceptions=False) for _ in range(2)]
    documents = [json.loads(answer.stdout) for answer in answers]
    for document in documents:
        assert document.pop("seconds") >= 0
        assert document["metrics"].pop("seconds") >= 0
    document = documents[0]
    assert document == documents[1]
    assert document["optimality"] == {"proved": True, "gap": 0.0}
    assert (document["mentors"], document["mentees"]) == (60, 60)
    assert 0 < document["pairs"] <= 120
    people = {entry["person"] for entry in document["unmatched"]}
    assert len(people) == 120 - document["metrics"]["matched_people"]
    assert all(entry["sentence"] for entry in document["unmatched"])
    assert list(tmp_path.iterdir()) == []


def test_match_bench_when_run_for_people_tells_one_sentence():
    answer = CliRunner().invoke(rmplugin, ["match", "bench", "--size", "5"], catch_exceptions=False)
    assert "of 5 mentors and 5 mentees" in answer.output

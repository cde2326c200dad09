"""What SQL calls plainly junior is junior, and hardly anybody is left to be looked at one by one."""

import itertools
from datetime import date

import pytest
from sqlalchemy import select
from sqlalchemy.orm import aliased

from rmplugin.matching.juniors import is_junior, surely_junior
from rmplugin.matching.scoring import Rules
from rmplugin.people.models import Person
from tests.factories.people import make_person

RANKS = (None, 10, 11, 14)
DAYS = (None, *(date(*day) for day in ((2023, 12, 31), (2024, 2, 29), (2025, 2, 28), (2025, 3, 1))))
RULES = [
    Rules(min_rank_gap=gap, min_tenure_gap_months=months, junior_by_rank=rank, junior_by_tenure=tenure)
    for gap in (1, 3)
    for months in (0, 1, 12, 14)
    for rank, tenure in ((True, True), (True, False), (False, True))
]


@pytest.fixture
def db(runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        for rank, day in itertools.product(RANKS, DAYS):
            make_person(db, seniority_rank=rank, hire_date=day)
        yield db


def test_surely_junior_when_true_is_junior_and_when_false_by_days_alone(db):
    mentor, mentee = aliased(Person), aliased(Person)
    facts = [fact for one in (mentor, mentee) for fact in (one.seniority_rank, one.hire_date)]
    for rules in RULES:
        found = db.execute(select(surely_junior(rules, mentor, mentee), *facts).where(mentor.id != mentee.id))
        seen = set()
        for sure, *said in found:
            seen.add(bool(sure))
            junior = is_junior(rules, said[:2], said[2:])
            assert junior or not sure, (rules, said)
            if junior and not sure:
                # Only the day within the month can have decided.
                joined, begun = said[1], said[3]
                months = (joined.year - begun.year) * 12 + joined.month - begun.month
                assert rules.junior_by_tenure, (rules, said)
                assert months == rules.min_tenure_gap_months, (rules, said)
        assert seen == {True, False}, rules

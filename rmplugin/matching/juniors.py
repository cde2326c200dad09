"""Whether a mentor is junior to a mentee by today's roster: one pair in Python, very many in SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, extract, false, func, or_

from rmplugin.matching.scoring import Candidate, Rules, junior_by
from rmplugin.people.models import Person


def is_junior(rules: Rules, mentor: Sequence[Any], mentee: Sequence[Any]) -> bool:
    """Tell whether a mentor is junior to a mentee by today's roster and a programme's rules.

    :param mentor, mentee: seniority and first day of work.
    **Touches** nothing.
    """
    junior = Candidate("mentor", "mentor", rank=mentor[0], hired_on=mentor[1])
    senior = Candidate("mentee", "mentee", rank=mentee[0], hired_on=mentee[1])
    return junior_by(rules, junior, senior) != []


def surely_junior(rules: Rules, mentor: type[Person], mentee: type[Person]) -> ColumnElement[bool]:
    """Say in SQL of which mentors `is_junior` is so plainly true that it need not be asked.

    A grade tells, and a month of hiring; where the day within the month tells, this is false.

    **Touches** nothing.
    """
    ways: list[ColumnElement[bool]] = [false()]
    if rules.junior_by_rank:
        ways.append(mentor.seniority_rank <= mentee.seniority_rank - rules.min_rank_gap)
    if rules.junior_by_tenure:
        begun, joined = (
            extract("year", one.hire_date) * 12 + extract("month", one.hire_date) for one in (mentee, mentor)
        )
        ways.append(joined > begun + rules.min_tenure_gap_months)
    return func.coalesce(or_(*ways), false())

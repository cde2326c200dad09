"""A matching of people who do not exist, to see what a machine can do; no database."""

import time
from dataclasses import asdict
from typing import Any

from rmplugin.matching import documents, store, words
from rmplugin.matching.findings import compute
from rmplugin.matching.models import MatchRun
from rmplugin.matching.scoring import Rules, Weights
from rmplugin.matching.synthetic import DAY, SKILLS, make_company


def try_out(size: int, seed: int, objective: str, most_partners: int) -> dict[str, Any]:
    """Match a made-up company by the default rules, with all that a run finds out.

    :param size: mentors, and as many mentees.
    :param most_partners: capacities are from 1 to this.
    :return: what `match bench --json` prints: the document of a run.
    **Touches** nothing.
    """
    company = make_company(size, seed, most_partners)
    rules, weights = Rules(), Weights()
    pool = store.Pool(
        mentors=tuple(company.mentors),
        mentees=tuple(company.mentees),
        reporting=company.reporting,
        blocked=(),
        pins=(),
        skills={skill: skill for skill in SKILLS},
        rules=rules,
        weights=weights,
    )
    started = time.monotonic()
    found = compute(pool, objective, DAY)
    seconds = round(time.monotonic() - started, 3)
    run = MatchRun(
        state="solved",
        scope="all",
        objective=objective,
        rules=store.rules_document(rules),
        weights=asdict(weights),
        metrics=found.metrics | {"seconds": seconds},
        mentors=len(company.mentors),
        mentees=len(company.mentees),
        total_score=found.solution.total_score,
        proved=found.solution.proved,
        gap=found.solution.gap,
        seconds=seconds,
    )
    left_out = [words.describe_unmatched(pool.skills, rules, left) for left in found.unmatched]
    return documents.describe_run(run, f"made-up company, seed {seed}", left_out)

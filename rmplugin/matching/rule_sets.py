"""Verbs of rule sets: draft, preview, make live."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from rmplugin import audit
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.matching import kernels, rules, runs, store
from rmplugin.matching.models import MatchRuleSet
from rmplugin.programmes.models import Programme
from rmplugin.records import MatchCriterion


def ensure_live(db: Db, programme: Programme, actor: str, now: datetime) -> MatchRuleSet:
    """Give the live rule set of a programme that the caller has locked; one without gets its first version.

    **Touches** writes match_rule_set.
    """
    row = rules.find_live(db, programme.id)
    if row is None:
        newest = next(iter(rules.list_rule_sets(db, programme.id)), None)
        columns = rules.columns_of(rules.default_values())
        row = _add(db, programme, columns, newest.version + 1 if newest else 1, None, actor, now)
        row.state = "live"
        db.flush()
    return row


def draft(
    db: Db,
    programme: Programme,
    changes: Mapping[str, Any],
    actor: str,
    now: datetime,
    based_on: int | None = None,
) -> MatchRuleSet:
    """Write what would follow the live rules. A programme has one draft: drafting again changes it.

    :param changes: values by name, also as texts; all others stay as in the version that it is based on.
    :param based_on: a version; None for the draft if there is one, else for the live one.
    :raises InputError: `details` has a sentence by field.
    :raises NotFoundError: the programme has no such version.
    **Touches** locks programme; writes match_rule_set, audit_entry.
    """
    programme = runs.lock_programme(db, programme.id)
    live = ensure_live(db, programme, actor, now)
    newest = rules.list_rule_sets(db, programme.id)[0]
    row = newest if newest.state == "draft" else None
    base = row or live if based_on is None else rules.get_rule_set(db, programme.id, based_on)
    values = rules.check_values(programme, {**rules.values_of(base), "note": None}, changes)
    columns = rules.columns_of(values)
    if row is None:
        row = _add(db, programme, columns, newest.version + 1, base.version, actor, now)
    else:
        for name, value in columns.items():
            setattr(row, name, value)
        row.created_by, row.created_at = actor, now
        if base is not row:
            row.based_on = base.version
    db.flush()
    audit.record(db, actor, "match_rule_set.draft", row.id, now, version=row.version)
    return row


def make_live(db: Db, row: MatchRuleSet, actor: str, now: datetime) -> None:
    """Let a programme's matching go by a draft from now on; the rules before it are retired, not changed.

    :raises ConflictError: it is no draft any more, or a matching by the rules before is being computed.
    **Touches** locks programme; writes match_rule_set, audit_entry.
    """
    programme = runs.lock_programme(db, row.programme_id)
    db.refresh(row)
    if row.state == "live":
        return
    if row.state != "draft":
        raise ConflictError(
            "rule_set_retired",
            "These rules were replaced before. Nothing was changed. Draft new ones based on them.",
        )
    runs.refuse_while_queued(db, programme.id)
    before = rules.find_live(db, programme.id)
    if before is not None:
        before.state = "retired"
        db.flush()
    row.state = "live"
    db.flush()
    audit.record(db, actor, "match_rule_set.live", row.id, now, version=row.version)


def preview(
    db: Db,
    programme: Programme,
    changes: Mapping[str, Any],
    now: datetime,
    based_on: MatchRuleSet | None = None,
    criteria: Iterable[MatchCriterion] = (),
) -> dict[str, Any]:
    """Say what rules would make of today's pool. It writes nothing.

    :param changes: values by name, laid over those of `based_on`.
    :param based_on: None for the live rules.
    :return: "mentors" and "mentees" with a free place, admissible "pairs", "mentees_with_one" and
        "mentees_with_three": mentees for whom as many mentors are admissible.
    :raises InputError: `details` has a sentence by field.
    **Touches** reads what `store.load_pool` reads.
    """
    row = based_on or rules.find_live(db, programme.id)
    values = rules.check_values(programme, rules.values_of(row), changes)
    book = rules.read_book(programme, values, row)
    pool = store.load_pool(db, programme, now, book=book, criteria=criteria)
    counts = count_admissible(pool)
    mentors, mentees = pool.free_sides()
    return {
        "programme": programme.name,
        "based_on": book.version,
        "changes": {name: value for name, value in values.items() if name in changes},
        "mentors": len(mentors),
        "mentees": len(mentees),
        "pairs": int(counts.sum()),
        "mentees_with_one": int((counts >= 1).sum()),
        "mentees_with_three": int((counts >= 3).sum()),
    }


def count_admissible(pool: store.Pool) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Count for each mentee with a free place the mentors whom the rules allow, some mentees at a time.

    **Touches** nothing.
    """
    problem = pool.free_problem()
    found = list(kernels.walk(problem, lambda block: np.diff(block.starts)))
    return np.concatenate(found) if found else np.zeros(len(problem.mentees), dtype=np.int64)


def _add(
    db: Db,
    programme: Programme,
    columns: Mapping[str, Any],
    version: int,
    based_on: int | None,
    actor: str,
    now: datetime,
) -> MatchRuleSet:
    row = MatchRuleSet(
        programme_id=programme.id,
        version=version,
        state="draft",
        based_on=based_on,
        created_by=actor,
        created_at=now,
        **columns,
    )
    db.add(row)
    return row

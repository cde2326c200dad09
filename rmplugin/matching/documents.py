"""Runs as pages and commands show them: who is left out and why, and the commands' JSON."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select

from rmplugin.db import Db
from rmplugin.matching import queries
from rmplugin.matching.models import LeftOut, MatchRun
from rmplugin.texts import Text, unpack


def list_left_out(
    db: Db,
    run_id: uuid.UUID,
    *conditions: ColumnElement[bool],
    offset: int = 0,
    limit: int | None = None,
) -> Sequence[LeftOut]:
    """List whom the solver left without a partner in a run, by role, then person.

    :param conditions: on `LeftOut`.
    :param limit: most rows; None for all.
    **Touches** reads match_left_out.
    """
    query = select(LeftOut).where(LeftOut.run_id == run_id, *conditions)
    return db.scalars(query.order_by(LeftOut.role, LeftOut.person_id).offset(offset).limit(limit)).all()


def left_out_entry(row: LeftOut) -> dict[str, Any]:
    """Give one person without a partner for pages and commands. **Touches** nothing."""
    return {
        "person": str(row.person_id),
        "role": row.role,
        "reason": row.reason,
        "details": row.details,
        "sentence": Text(unpack(row.told)),
    }


def run_document(db: Db, run: MatchRun) -> dict[str, Any]:
    """Give what `match run --json` prints.

    **Source** the product's interface description. **Touches** reads programme, match_left_out.
    """
    left_out = map(left_out_entry, list_left_out(db, run.id))
    return describe_run(run, queries.programme_of(db, run).name, left_out)


def describe_run(run: MatchRun, programme: str, left_out: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the document of a run, also of one that no database knows.

    :param programme: its name.
    :param left_out: who got no partner: "person", "role", "reason", "details", "sentence".
    **Touches** nothing.
    """
    names = ("person", "role", "reason", "details", "sentence")
    return {
        "run_id": run.id and str(run.id),
        "programme": programme,
        "state": run.state,
        "failure": run.failure,
        "mentors": run.mentors,
        "mentees": run.mentees,
        "pairs": run.metrics.get("pairs", 0),
        "scope": run.scope,
        "rule_set": {"id": run.rule_set_id and str(run.rule_set_id), "version": run.rule_set_version},
        "objective": run.objective,
        "total_score": run.total_score,
        "optimality": {"proved": run.proved, "gap": run.gap},
        "unmatched": [
            {name: entry[name] for name in names}
            | {"candidates_removed_by": entry["details"].get("removed_by", {})}
            for entry in left_out
        ],
        "metrics": run.metrics,
        "seconds": run.seconds,
    }


def show_document(db: Db, run: MatchRun) -> dict[str, Any]:
    """Give what `match show --json` prints: the run and each of its proposals.

    **Touches** reads programme, proposal, person.
    """
    return run_document(db, run) | {
        "rules": run.rules,
        "weights": run.weights,
        "inputs_hash": run.inputs_hash,
        "proposals": [proposal_document(pair) for pair in queries.list_proposals(db, run.id)],
    }


def proposal_document(pair: queries.Pair) -> dict[str, Any]:
    """Give one proposal for a command; who answered or wished what is nobody's business but the two people's.

    **Touches** nothing.
    """
    return {
        "proposal_id": str(pair.row.id),
        "mentor": {"id": str(pair.mentor.id), "name": pair.mentor.display_name},
        "mentee": {"id": str(pair.mentee.id), "name": pair.mentee.display_name},
        "state": pair.row.state,
        "pinned": pair.row.pinned,
        "score": pair.row.score,
        "contributions": pair.row.contributions,
        "reasons": pair.row.reasons,
    }

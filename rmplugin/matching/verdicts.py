"""Why two people are, or are not, a pair of a run."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching import documents, queries, store, words
from rmplugin.matching.models import MatchRun
from rmplugin.matching.pairs import find_contributions
from rmplugin.people.queries import display_names
from rmplugin.programmes.queries import find_enrolment
from rmplugin.records import MatchCriterion
from rmplugin.texts import Text


def explain(
    db: Db,
    run: MatchRun,
    mentor_id: uuid.UUID,
    mentee_id: uuid.UUID,
    now: datetime,
    criteria: Iterable[MatchCriterion] = (),
) -> dict[str, Any]:
    """Say why two people are, or are not, a pair of a run: what `match explain --json` prints.

    For a pair that the run did not propose, rules and points are those of today's data; `same_inputs` tells
    whether they are still those of the run.

    :raises NotFoundError: one of the two is not a person of this tenant.
    **Touches** reads match_run, proposal, enrolment and what `store.load_pool` reads.
    """
    names = display_names(db, {mentor_id, mentee_id})
    if len(names) < len({mentor_id, mentee_id}):
        raise NotFoundError("person")
    found = {(pair.row.mentor_id, pair.row.mentee_id): pair for pair in queries.list_proposals(db, run.id)}
    document: dict[str, Any] = {"run_id": str(run.id), "proposed": (mentor_id, mentee_id) in found}
    if document["proposed"]:
        return document | documents.proposal_document(found[mentor_id, mentee_id])
    pool = store.load_pool(db, queries.programme_of(db, run), now, scope=run.scope, criteria=criteria)
    ids = str(mentor_id), str(mentee_id)
    codes = ["same_person"] if mentor_id == mentee_id else store.check_pairs(pool, [ids])[ids]
    document |= {
        "mentor": _describe_person(db, run, mentor_id, names),
        "mentee": _describe_person(db, run, mentee_id, names),
        "same_inputs": pool.digest(run.objective) == run.inputs_hash,
        "barred_by": codes,
        "because": [words.PAIR_FAULTS[code] for code in codes],
        "score": None,
        "contributions": {},
        "instead": [
            documents.proposal_document(pair)
            for key, pair in found.items()
            if mentor_id == key[0] or mentee_id == key[1]
        ],
    }
    mentor, mentee = pool.find("mentor", ids[0]), pool.find("mentee", ids[1])
    if mentor is None or mentee is None:
        document["because"] = _describe_roles(document["mentor"], document["mentee"])
    elif not codes:
        problem = pool.problem([mentor], [mentee]).without_extras()
        contributions = find_contributions(problem, 0, 0)
        document |= {"score": sum(contributions.values()), "contributions": contributions}
        document["because"] = ["The pair is allowed, but the pairs that were chosen add up to more."]
    return document


def _describe_person(
    db: Db, run: MatchRun, person_id: uuid.UUID, names: dict[uuid.UUID, str]
) -> dict[str, Any]:
    """Give somebody with their role in the programme; None for somebody who does not take part."""
    enrolment = find_enrolment(db, run.programme_id, person_id)
    takes_part = enrolment is not None and enrolment.state == "submitted"
    role = enrolment.role if enrolment is not None and takes_part else None
    return {"id": str(person_id), "name": names[person_id], "role": role}


def _describe_roles(mentor: dict[str, Any], mentee: dict[str, Any]) -> list[Text]:
    """Say in which role each of two people takes part, and how to ask for them the right way round."""
    said = [words.describe_role(person["name"], person["role"]) for person in (mentor, mentee)]
    if mentor["id"] == mentee["id"]:
        return [words.PAIR_FAULTS["same_person"], said[0]]
    roles = (mentor["role"], mentee["role"])
    if roles == ("mentor", "mentee"):
        # Both are enrolled as they were asked for: one of them is not at work.
        return [words.PAIR_FAULTS["not_taking_part"], *said]
    if roles == ("mentee", "mentor"):
        said.append(Text(words.SWAPPED, mentor=mentee["name"], mentee=mentor["name"]))
    return said

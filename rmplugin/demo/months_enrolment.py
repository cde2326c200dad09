"""How people answer an invitation, their line managers a question, and both a proposal."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from rmplugin.demo.company_profiles import SampleProfile
from rmplugin.demo.months_play import Act, Stage
from rmplugin.errors import NotAllowedError
from rmplugin.matching import operations as matching
from rmplugin.matching.forms import DECLINE_REASONS as NO_TO_A_PROPOSAL
from rmplugin.matching.models import Proposal
from rmplugin.people.models import Person
from rmplugin.programmes import endorsements, operations, places
from rmplugin.programmes.answers import TOPICS, Answers
from rmplugin.programmes.forms import DECLINE_REASONS, NOT_NOW_REASONS
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.programmes.queries import find_enrolment

SIGN_UP_DAYS, NOMINATED_BY = 12, 8
# What invited people do, and how many of a hundred.
WAYS = {"sign_up": 80, "decline": 10, "begin": 3, "nothing": 7}
INTERESTS = ("cycling", "choir", "cooking", "board games", "hiking", "photography", "football", "reading")


def answer_invitation(
    stage: Stage, programme_id: uuid.UUID, person_id: uuid.UUID, profile: SampleProfile, answers: Answers
) -> Act:
    """Decide about an invitation within the days of sign-up; whom the programme does not take stays away."""
    try:
        yield from _answer_invitation(stage, programme_id, person_id, profile, answers)
    except NotAllowedError:
        # Not at work at present.
        return


def wait_for_colleague(
    stage: Stage, programme_id: uuid.UUID, person_id: uuid.UUID, profile: SampleProfile, answers: Answers
) -> Act:
    """Be nominated by somebody who has signed up, and answer that as every invitation."""
    chance = stage.chance("nominated", profile.employee_number)
    yield chance.uniform(4, NOMINATED_BY)
    signed_up = select(Enrolment.person_id).where(
        Enrolment.programme_id == programme_id, Enrolment.state.in_(("submitted", "endorsing"))
    )
    colleagues = stage.db.scalars(signed_up.order_by(Enrolment.id)).all()
    if not colleagues:
        return
    programme, person = (stage.db.get_one(Programme, programme_id), stage.db.get_one(Person, person_id))
    named = chance.random() < 0.6
    operations.nominate(stage.db, programme, person, chance.choice(colleagues), stage.now, named=named)
    if find_enrolment(stage.db, programme_id, person_id) is not None:
        yield from answer_invitation(stage, programme_id, person_id, profile, answers)


def _answer_invitation(
    stage: Stage, programme_id: uuid.UUID, person_id: uuid.UUID, profile: SampleProfile, answers: Answers
) -> Act:
    chance = stage.chance("invited", profile.employee_number)
    way = chance.choices([*WAYS], [*WAYS.values()])[0]
    yield chance.uniform(0.1, SIGN_UP_DAYS)
    programme = stage.db.get_one(Programme, programme_id)
    if way == "decline":
        invited = find_enrolment(stage.db, programme_id, person_id)
        reason = chance.choice([*DECLINE_REASONS, "time", "time", None])
        # Who did not fit on the day was not invited.
        if invited is not None:
            operations.decline_invitation(stage.db, invited, reason, stage.now)
    elif way == "begin":
        operations.start_enrolment(stage.db, programme, person_id, answers, stage.now)
    elif way == "sign_up":
        enrolment = operations.submit_enrolment(stage.db, programme, person_id, answers, stage.now)
        if enrolment.state == "endorsing":
            yield from _endorse(stage, enrolment.id, chance)


def _endorse(stage: Stage, enrolment_id: uuid.UUID, chance: Any) -> Act:
    """Let the line manager answer, mostly yes; some never do."""
    yield chance.uniform(0.2, 4)
    question = endorsements.find(stage.db, enrolment_id)
    said = chance.choices(("yes", "not_now", ""), (93, 3, 4))[0]
    if question is None or not said:
        return
    if question.token is None:
        enrolment = stage.db.get_one(Enrolment, enrolment_id)
        asked = endorsements.get_for_team(stage.db, enrolment.programme_id, enrolment_id)
        places.endorse_for_team(stage.db, asked, "command", stage.now)
        return
    asked = endorsements.get(stage.db, question.token)
    if asked.is_open:
        reason = chance.choice([*NOT_NOW_REASONS])
        places.answer_endorsement(stage.db, asked, said, reason, stage.now)


def answers_of(profile: SampleProfile, skills: Mapping[str, uuid.UUID], stage: Stage) -> Answers:
    """Fill in the form as a person's sample profile says. **Touches** pure."""
    chance = stage.chance("topics", profile.employee_number)
    begins, ends = (int(hour.split(":")[0]) * 60 for hour in profile.working_hours)
    return Answers(
        role=profile.role,
        offers={skills[name]: level for name, level in profile.offers.items()},
        wants={
            skills[name]: (level, min(3, place))
            for place, (name, level) in enumerate(profile.wants.items(), start=1)
        },
        languages=profile.languages,
        work_from_minute=begins,
        work_to_minute=ends,
        time_zone=profile.time_zone,
        capacity=profile.capacity,
        motivation_level=profile.motivation,
        motivation=profile.motivation_text,
        interests=chance.sample(INTERESTS, 2),
        topics={topic: chance.choice(("open", "open", "ask", "closed")) for topic in TOPICS},
        closed_topics="",
        consent=True,
    )


def answer_proposal(stage: Stage, proposal_id: uuid.UUID, person_id: uuid.UUID, about: object) -> Act:
    """Say yes or no to a proposal within its days, or forget it."""
    chance = stage.chance("proposal", about)
    yield chance.uniform(0.3, 5)
    proposal = stage.db.get_one(Proposal, proposal_id)
    way = chance.choices(("yes", "no", "nothing"), (94, 3, 3))[0]
    if proposal.state == "released" and way != "nothing":
        reason = chance.choice([code for code, _ in NO_TO_A_PROPOSAL]) if way == "no" else None
        matching.answer(stage.db, proposal, person_id, way == "yes", reason, stage.now)

"""Reads about sign-up: the funnel, counted reasons, concerns and answers, readiness."""

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching import counting, health, store
from rmplugin.people.models import LtiUser
from rmplugin.privacy import LEAST_FOR_COUNT, Counts, safe_counts, safe_tally, whole_batches
from rmplugin.programmes import queries as programme_queries
from rmplugin.programmes.endorsements import count_without_manager
from rmplugin.programmes.forms import SIGNED_UP
from rmplugin.programmes.models import Endorsement, Enrolment, Programme, ProgrammeSkill, StageReason
from rmplugin.signup.forms import ITEMS
from rmplugin.signup.models import Concern, PublicAnswer, Readiness, ReadinessTaken, Taster
from rmplugin.signup.outlook import Outlook, Steps, elapsed_share, look_ahead, missing_people
from rmplugin.texts import Text

ROLES = ("mentor", "mentee")
# Below this mean of 1..5 an item of the survey warns.
LEAST_MEAN = 3.0
FEWEST_SKILLS = 6


@dataclass(frozen=True, slots=True)
class Funnel:
    """How sign-up of a programme goes.

    :ivar steps: role -> how far people have come.
    :ivar outlooks: role -> against the target, for roles that have one.
    :ivar share: which part of the sign-up time is over; None for a draft.
    :ivar last_day: of the sign-up.
    :ivar reasons: role -> why people said no, but for time; small counts hidden.
    :ivar times: stage -> how often somebody had no time. No answer is in both tables, or one could give away
        what the other hides.
    :ivar choices: what those chose instead; the same answers by another question.
    :ivar answers: of line managers, small counts hidden.
    """

    steps: Mapping[str, Steps]
    outlooks: Mapping[str, Outlook]
    share: float | None
    last_day: date
    reasons: Mapping[str, Counts[str]]
    times: Counts[str]
    choices: Counts[str]
    answers: Counts[str]

    @property
    def late(self) -> list[str]:
        """Give the roles for which too few sign up."""
        return [role for role, outlook in self.outlooks.items() if outlook.is_late]


def funnel_of(db: Db, programme: Programme, now: datetime) -> Funnel:
    """Tell how sign-up of a programme goes, and how it will end if it goes on like this.

    **Touches** reads enrolment, person, stage_reason, endorsement.
    """
    steps = steps_of(db, programme, now.date())
    said = _said(db, programme.id, now)
    no_time = [row for row in said if row.reason == "time"]
    others = {role: [row.reason for row in said if row.role == role and row not in no_time] for role in ROLES}
    leading = {
        role
        for role, codes in others.items()
        if time_leads(
            len(whole_batches([row for row in no_time if row.role == role], LEAST_FOR_COUNT)),
            Counter(whole_batches(codes, LEAST_FOR_COUNT)),
        )
    }
    last_day = programme.sign_up_until or programme.starts_on
    share = elapsed_share(programme.opened_at, last_day, now) if programme.opened_at else None
    return Funnel(
        steps,
        _outlooks(programme, steps, share, leading),
        share,
        last_day,
        {role: safe_tally(codes) for role, codes in others.items()},
        safe_tally([row.stage for row in no_time]),
        safe_tally([row.choice or "leave" for row in no_time]),
        safe_tally(_answers(db, programme.id)),
    )


def _said(db: Db, programme_id: uuid.UUID, now: datetime) -> Sequence[StageReason]:
    """Give what people of a programme said in the weeks that are over, in an order that no later one changes.

    Who says no stands by name in the list of people, so that nothing may move on the same day.
    """
    monday = now.date() - timedelta(days=now.weekday())
    query = select(StageReason).where(StageReason.programme_id == programme_id, StageReason.week < monday)
    return db.scalars(query.order_by(StageReason.week, StageReason.id)).all()


def _outlooks(
    programme: Programme,
    steps: Mapping[str, Steps],
    share: float | None,
    leading: Collection[str],
) -> dict[str, Outlook]:
    targets = {"mentor": programme.target_mentors, "mentee": programme.target_mentees}
    return {
        role: look_ahead(target, steps[role], share, time_leads=role in leading)
        for role, target in targets.items()
        if target and share is not None and programme.state == "enrolling"
    }


def time_leads(no_time: int, reasons: Mapping[str, int]) -> bool:
    """Tell whether time is the most frequent reason, by enough people to say so. **Touches** pure."""
    return no_time >= LEAST_FOR_COUNT and all(no_time >= n for n in reasons.values())


def _answers(db: Db, programme_id: uuid.UUID) -> Sequence[str]:
    """Give what line managers answered, in the order in which they did."""
    word = case((Endorsement.reason.is_not(None), Endorsement.reason), else_=Endorsement.state)
    query = select(word).join(Enrolment, Enrolment.id == Endorsement.enrolment_id)
    query = query.where(
        Enrolment.programme_id == programme_id,
        Endorsement.manager_id.is_not(None),
        Endorsement.answered_at.is_not(None),
    )
    return db.scalars(query.order_by(Endorsement.answered_at, Endorsement.id)).all()


def steps_of(db: Db, programme: Programme, today: date) -> dict[str, Steps]:
    """Count how far the people of each role have come.

    **Touches** reads enrolment, person.
    """
    sent = Enrolment.submitted_at.is_not(None)
    began = or_(sent, Enrolment.started_at.is_not(None))
    tests = {
        "invited": Enrolment.invited_at.is_not(None),
        "opened": or_(began, Enrolment.opened_at.is_not(None)),
        "started": began,
        "signed_up": sent,
        "in_pool": Enrolment.state.in_(("submitted", "paused", "completed")),
        "endorsing": Enrolment.state == "endorsing",
        "waitlisted": Enrolment.state == "waitlisted",
    }
    query = select(Enrolment.role, *(func.sum(case((test, 1), else_=0)) for test in tests.values()))
    query = query.where(Enrolment.programme_id == programme.id).group_by(Enrolment.role)
    found = {row[0]: dict(zip(tests, map(int, row[1:]), strict=True)) for row in db.execute(query)}
    eligible = programme_queries.count_eligibility(db, programme, today)
    return {
        role: Steps(eligible=people, **found.get(role, {}))
        for role, people in (("mentor", eligible.mentors), ("mentee", eligible.mentees))
    }


def missing_in_pool(
    db: Db, programme: Programme, now: datetime, criteria: counting.Criteria
) -> dict[str, int] | None:
    """Say how many more of which role the pool needs: at once of a small one, else by the last count.

    :param criteria: of plug-ins.
    :return: see `outlook.missing_people`; None when nobody counted a large pool yet.
    **Touches** reads what `matching.store.load_pool` reads, or match_count.
    """
    if counting.is_small(db, programme.id):
        problem = store.load_pool(db, programme, now, criteria=criteria).free_problem()
        return missing_people(health.count_sides(problem, health.count_partners(problem)))
    row = counting.find_count(db, programme.id, "health")
    return missing_people(row.answer["sides"]) if row is not None and row.answer else None


def public_answers(db: Db, programme_id: uuid.UUID) -> Sequence[PublicAnswer]:
    """List questions and answers, the oldest first.

    **Touches** reads public_answer.
    """
    query = select(PublicAnswer).where(PublicAnswer.programme_id == programme_id)
    return db.scalars(query.order_by(PublicAnswer.created_at, PublicAnswer.id)).all()


def get_answer(db: Db, programme_id: uuid.UUID, answer_id: uuid.UUID) -> PublicAnswer:
    """Give a question with its answer.

    :raises NotFoundError: the programme has none of that id.
    **Touches** reads public_answer.
    """
    row = db.get(PublicAnswer, answer_id)
    if row is None or row.programme_id != programme_id:
        raise NotFoundError("answer")
    return row


@dataclass(frozen=True, slots=True)
class Concerns:
    """The concerns of a programme, for the team.

    :ivar waiting: without a public answer, in no order that tells anything.
    :ivar wordless: code -> how many of them came without words, small counts hidden.
    :ivar counts: code -> concerns in all, small counts hidden.
    :ivar trend: month -> code -> concerns, small counts hidden; the newest month first.
    """

    waiting: Sequence[Concern]
    wordless: Counts[str]
    counts: Counts[str]
    trend: Mapping[date, Counts[str]]


def concerns_of(db: Db, programme_id: uuid.UUID) -> Concerns:
    """Give the concerns of a programme.

    **Touches** reads concern.
    """
    rows = db.scalars(select(Concern).where(Concern.programme_id == programme_id).order_by(Concern.id)).all()
    waiting = [row for row in rows if row.answer_id is None]
    months: dict[date, Counter[str]] = {}
    for row in rows:
        months.setdefault(row.month, Counter())[row.code] += 1
    return Concerns(
        waiting,
        safe_counts(Counter(row.code for row in waiting if row.text is None)),
        safe_counts(Counter(row.code for row in rows)),
        {month: safe_counts(months[month]) for month in sorted(months, reverse=True)},
    )


def tasters(db: Db, programme_id: uuid.UUID, now: datetime) -> Sequence[Taster]:
    """List the taster sessions that are still to come.

    **Touches** reads taster.
    """
    query = select(Taster).where(Taster.programme_id == programme_id, Taster.starts_at > now)
    return db.scalars(query.order_by(Taster.starts_at)).all()


def find_readiness(db: Db, programme_id: uuid.UUID) -> Readiness | None:
    """Find the answers to a programme's survey; None before it was opened.

    **Touches** reads readiness.
    """
    return db.scalars(select(Readiness).where(Readiness.programme_id == programme_id)).one_or_none()


def has_answered(db: Db, programme_id: uuid.UUID, lti_user_id: uuid.UUID | None) -> bool:
    """Tell whether a user of the LMS answered the survey.

    **Touches** reads readiness_taken.
    """
    query = select(ReadinessTaken.id).where(
        ReadinessTaken.programme_id == programme_id, ReadinessTaken.lti_user_id == lti_user_id
    )
    return db.scalar(query) is not None


def open_survey(
    db: Db, context_id: uuid.UUID | None, lti_user_id: uuid.UUID | None
) -> tuple[uuid.UUID, str] | None:
    """Find the survey that waits for somebody in a course: id and name of its programme.

    **Touches** reads readiness, programme, readiness_taken.
    """
    if context_id is None or lti_user_id is None:
        return None
    mine = and_(ReadinessTaken.programme_id == Programme.id, ReadinessTaken.lti_user_id == lti_user_id)
    query = (
        select(Programme.id, Programme.name)
        .join(Readiness, Readiness.programme_id == Programme.id)
        .outerjoin(ReadinessTaken, mine)
        .where(Programme.context_id == context_id, Readiness.is_open, ReadinessTaken.id.is_(None))
        .where(Programme.state.in_(("draft", "enrolling")))
    )
    row = db.execute(query.order_by(Programme.created_at.desc()).limit(1)).first()
    return (row[0], row[1]) if row is not None else None


def survey_means(row: Readiness | None) -> dict[str, float]:
    """Give the means that may be shown; {} while fewer than ten have answered.

    **Touches** pure.
    """
    if row is None or not row.shown_people:
        return {}
    return {item: row.shown.get(item, 0) / row.shown_people for item in ITEMS}


def lti_user_exists(db: Db, lti_user_id: uuid.UUID | None) -> bool:
    """Tell whether somebody came by a launch of a user whom we know.

    **Touches** reads lti_user.
    """
    return lti_user_id is not None and db.get(LtiUser, lti_user_id) is not None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the check before a launch.

    :ivar level: ok; note (worth doing); warning (a launch needs a reason).
    :ivar path: where it is mended; None when nowhere.
    """

    code: str
    level: str
    text: str
    path: str | None = None


def check_readiness(db: Db, programme: Programme, today: date) -> list[Check]:
    """Look whether a programme is ready to be launched.

    **Touches** reads enrolment, person, programme_skill, readiness, concern, public_answer.
    """
    here = f"/programmes/{programme.id}"
    eligible = programme_queries.count_eligibility(db, programme, today)
    skills = select(func.count(ProgrammeSkill.id)).where(ProgrammeSkill.programme_id == programme.id)
    checks = [
        _check("sponsor", bool(programme.sponsor), "warning", f"{here}/settings"),
        _check("message", bool(programme.sponsor_message), "warning", f"{here}/settings"),
        _check(
            "targets", bool(programme.target_mentors and programme.target_mentees), "note", f"{here}/settings"
        ),
        _check("mentors", eligible.mentors >= (programme.target_mentors or 1), "warning", f"{here}/people"),
        _check("mentees", eligible.mentees >= (programme.target_mentees or 1), "warning", f"{here}/people"),
        _check("skills", (db.scalar(skills) or 0) >= FEWEST_SKILLS, "note", f"{here}/skills"),
        _check("course", programme.context_id is not None, "warning", here),
        _check(
            "dates", (programme.sign_up_until or programme.starts_on) > today, "warning", f"{here}/settings"
        ),
        _check("answers", bool(public_answers(db, programme.id)), "note", f"{here}/concerns"),
        _check("concerns", not concerns_of(db, programme.id).waiting, "warning", f"{here}/concerns"),
    ]
    return [*checks, *_survey_checks(db, programme)]


def _survey_checks(db: Db, programme: Programme) -> list[Check]:
    path = f"/programmes/{programme.id}/readiness"
    means = survey_means(find_readiness(db, programme.id))
    if not means:
        return [_check("survey", fine=False, level="note", path=path)]
    low = [item for item in ITEMS if means[item] < LEAST_MEAN]
    if not low:
        return [_check("survey", fine=True, level="note", path=path)]
    return [
        Check(
            "survey", "warning", Text("The readiness survey is low here: “%(item)s”", item=ITEMS[item]), path
        )
        for item in low
    ]


# What a check says when all is well, and when not.
CHECK_WORDS = {
    "sponsor": (
        "A sponsor is named.",
        "No sponsor is named. Somebody in the management has to stand behind it.",
    ),
    "message": (
        "The sponsor's message is there.",
        "There is no message of the sponsor, which everybody reads first.",
    ),
    "targets": (
        "Targets are set for both roles.",
        "No targets are set, so nobody can warn you when too few sign up.",
    ),
    "mentors": ("Enough people can be mentors.", "Fewer people can be mentors than you want."),
    "mentees": ("Enough people can be mentees.", "Fewer people can be mentees than you want."),
    "skills": ("There are skills to choose from.", "There are few skills and perspectives to choose from."),
    "course": ("It runs in a course.", "It runs in no course yet, so nobody would find it."),
    "dates": ("Sign-up ends in the future.", "The last day of sign-up is over already."),
    "answers": (
        "Questions are answered publicly.",
        "No question is answered publicly yet. People have some.",
    ),
    "concerns": ("No concern waits for an answer.", "Concerns wait for a public answer."),
    "survey": (
        "The readiness survey looks good.",
        "The readiness survey has no result: ten answers are needed.",
    ),
}


def _check(code: str, fine: bool, level: str, path: str) -> Check:  # noqa: FBT001 - reads as a table.
    good, bad = CHECK_WORDS[code]
    return Check(code, "ok", Text(good)) if fine else Check(code, level, Text(bad), path)


def waiting_people(db: Db, programme_id: uuid.UUID) -> list[tuple[uuid.UUID, str]]:
    """List who was invited or has begun, and not answered: person and role.

    **Touches** reads enrolment.
    """
    query = select(Enrolment.person_id, Enrolment.role).where(
        Enrolment.programme_id == programme_id, Enrolment.state.in_(("invited", "started"))
    )
    rows: Sequence[Any] = db.execute(query.order_by(Enrolment.id)).all()
    return [(row[0], row[1]) for row in rows]


def desk_counts(programme: Programme) -> dict[str, Select[int]]:
    """Give what `desk_needs` wants to know, as parts of a larger statement. **Touches** pure."""
    concerns = select(func.count(Concern.id)).where(
        Concern.programme_id == programme.id, Concern.answer_id.is_(None)
    )
    return {"concerns": concerns, "without_manager": count_without_manager(programme.id)}


def desk_needs(
    programme: Programme,
    counts: Mapping[str, Mapping[str, int]],
    found: Mapping[str, int],
    now: datetime,
) -> list[tuple[str, str, str]]:
    """Say what waits for the manager before and during sign-up: sentence, path, link text.

    :param counts: enrolments by role and state.
    :param found: what came of `desk_counts`.
    **Touches** pure.
    """
    here = f"/programmes/{programme.id}"
    needs: list[tuple[str, str, str]] = []
    if programme.state == "draft":
        told = Text("The programme is a draft. See whether it is ready, then open it and invite people.")
        needs.append((told, f"{here}/launch", Text("Check readiness and launch")))
    if is_late(programme, counts, now):
        told = Text("Fewer people sign up than you want. See why, and what helps.")
        needs.append((told, f"{here}/sign-up", Text("See how sign-up goes")))
    if found["concerns"]:
        told = Text("Somebody has a concern that is not answered publicly yet.")
        needs.append((told, f"{here}/concerns", Text("Read and answer")))
    if programme.needs_endorsement and found["without_manager"]:
        told = Text("Somebody signed up whose line manager the staff list does not name.")
        needs.append((told, f"{here}/endorsements", Text("Decide about their time")))
    return needs


def is_late(programme: Programme, counts: Mapping[str, Mapping[str, int]], now: datetime) -> bool:
    """Tell whether half of the sign-up time is over and the forecast of a role is below its target.

    **Touches** pure.
    """
    if programme.state != "enrolling" or programme.opened_at is None:
        return False
    share = elapsed_share(programme.opened_at, programme.sign_up_until or programme.starts_on, now)
    targets = {"mentor": programme.target_mentors, "mentee": programme.target_mentees}
    stands = {role: sum(counts.get(role, {}).get(state, 0) for state in SIGNED_UP) for role in targets}
    return any(
        target and look_ahead(target, Steps(in_pool=stands[role]), share, time_leads=False).is_late
        for role, target in targets.items()
    )

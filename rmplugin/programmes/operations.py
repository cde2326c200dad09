"""What changes programmes and enrolments."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select

from rmplugin import audit, jobs, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotAllowedError
from rmplugin.people import consents
from rmplugin.people.models import PersonSkill, Profile, Skill
from rmplugin.programmes import forms, queries
from rmplugin.programmes.catalogue import CatalogueSkill, get_template
from rmplugin.programmes.models import Enrolment, Programme, ProgrammeSkill
from rmplugin.texts import Text, joined

# From which state to which a manager may move a programme.
STEPS = {
    "draft": ("enrolling", "archived"),
    "enrolling": ("running", "archived"),
    "running": ("enrolling", "concluding"),
    "concluding": ("running", "archived"),
    "archived": (),
}
OPEN = ("enrolling", "running")
LONGEST = timedelta(days=5 * 365)


@dataclass
class InviteReport:
    """What an invitation did.

    :ivar already: people who had an enrolment; nothing changed for them.
    :ivar not_eligible: people who were left out, because they do not fit.
    """

    invited: int = 0
    already: int = 0
    not_eligible: int = 0


def create_programme(
    db: Db,
    template_key: str,
    values: Mapping[str, Any],
    actor: str,
    now: datetime,
    context_id: uuid.UUID | None = None,
) -> Programme:
    """Create a programme from a template; it is a draft until enrolment is opened.

    :param values: settings that differ from the template, by the names of `forms.ProgrammeForm`: as that form
        loads them, or as text.
    :param context_id: the course that it runs in; None when it is not in one yet.
    :raises InputError: settings that contradict each other, a template that does not exist.
    :raises ConflictError: there is a programme of that name.
    **Touches** writes programme, skill, programme_skill, audit_entry.
    """
    template = get_template(template_key)
    settings = forms.load_settings(forms.template_values(template, now.date()) | dict(values))
    _refuse_known_name(db, settings["name"], None)
    _refuse_bad_end(settings["ends_on"], now)
    skills = settings.pop("skills")
    programme = Programme(
        context_id=context_id,
        template=template.key,
        state="draft",
        created_by=actor,
        created_at=now,
        **settings,
    )
    db.add(programme)
    db.flush()
    _add_skills(db, programme, skills)
    audit.record(db, actor, "programme.create", programme.id, now, template=template.key)
    return programme


def _refuse_known_name(db: Db, name: str, own_id: uuid.UUID | None) -> None:
    query = select(Programme.id).where(func.lower(Programme.name) == name.lower())
    if any(found != own_id for found in db.scalars(query)):
        raise InputError(
            "programme_name_taken",
            "There is a programme of that name already. Choose another name.",
            {"name": "There is a programme of that name already. Choose another name."},
        )


def _refuse_bad_end(ends_on: date, now: datetime) -> None:
    if not now.date() < ends_on <= (now + LONGEST).date():
        message = "Choose a last day after today, within the next five years."
        text = joined(["The dates need a change.", message])
        raise InputError("programme_end", text, {"ends_on": message})


def _add_skills(db: Db, programme: Programme, skills: Sequence[CatalogueSkill]) -> None:
    """Put skills into a programme; those that the tenant does not know yet come into being."""
    known = {skill.name.casefold(): skill for skill in db.scalars(select(Skill))}
    query = select(ProgrammeSkill.skill_id).where(ProgrammeSkill.programme_id == programme.id)
    there = set(db.scalars(query))
    for entry in skills:
        skill = known.get(entry.name.casefold())
        if skill is None:
            skill = Skill(name=entry.name, kind=entry.kind, theme=entry.theme)
            db.add(skill)
            db.flush()
            known[entry.name.casefold()] = skill
        if skill.id not in there:
            there.add(skill.id)
            db.add(ProgrammeSkill(programme_id=programme.id, skill_id=skill.id))
    db.flush()


def is_fixed(db: Db, programme: Programme) -> bool:
    """Tell whether somebody was invited or enrolled, so that what they said yes to must stay.

    **Touches** reads enrolment.
    """
    query = select(Enrolment.id).where(Enrolment.programme_id == programme.id).limit(1)
    return db.scalar(query) is not None


def change_programme(
    db: Db, programme: Programme, values: Mapping[str, Any], actor: str, now: datetime
) -> None:
    """Change a programme's settings; once people were invited, only what they did not say yes to.

    :param values: loaded by `forms.ProgrammeForm`, or `forms.SafeProgrammeForm` once the programme is fixed.
    :raises ConflictError: the settings became fixed meanwhile, or the programme is archived.
    **Touches** writes programme, skill, programme_skill, audit_entry.
    """
    if programme.state == "archived":
        raise ConflictError("programme_archived", "This programme is archived and can no longer be changed.")
    settings = dict(values)
    skills = settings.pop("skills")
    fixed = is_fixed(db, programme)
    if fixed and not settings.keys() <= {"name", "purpose", "sponsor", "topics"}:
        raise ConflictError(
            "programme_fixed",
            "Somebody was invited meanwhile, so dates, eligibility and completion can no longer change. "
            "Nothing was changed. Open the settings again to change the rest.",
        )
    _refuse_known_name(db, settings["name"], programme.id)
    if settings.get("ends_on", programme.ends_on) != programme.ends_on:
        _refuse_bad_end(settings["ends_on"], now)
    for name, value in settings.items():
        setattr(programme, name, value)
    if not fixed:
        db.execute(delete(ProgrammeSkill).where(ProgrammeSkill.programme_id == programme.id))
    _add_skills(db, programme, skills)
    audit.record(db, actor, "programme.change", programme.id, now, fields=sorted(settings))


def change_state(db: Db, programme: Programme, state: str, actor: str, now: datetime) -> None:
    """Move a programme on: open or close enrolment, conclude, archive.

    :param state: one of `STEPS[programme.state]`; the state that it is in already changes nothing.
    :raises ConflictError: there is no such step.
    **Touches** writes programme, audit_entry.
    """
    if state == programme.state:
        return
    if state not in STEPS[programme.state]:
        raise ConflictError(
            "programme_step",
            "The programme has moved on meanwhile, so this step is not possible now. Nothing was changed.",
        )
    audit.record(db, actor, "programme.state", programme.id, now, before=programme.state, after=state)
    programme.state = state


def put_into_course(db: Db, programme: Programme, context_id: uuid.UUID, actor: str, now: datetime) -> None:
    """Let a programme run in a course.

    :raises ConflictError: it runs in another one.
    **Touches** writes programme, audit_entry.
    """
    if programme.context_id == context_id:
        return
    if programme.context_id is not None:
        raise ConflictError(
            "programme_elsewhere", "This programme runs in another course. Nothing was changed."
        )
    programme.context_id = context_id
    audit.record(db, actor, "programme.put_into_course", programme.id, now)


def invite(
    db: Db,
    programme: Programme,
    actor: str,
    now: datetime,
    *,
    person_ids: Iterable[uuid.UUID] | None = None,
    role: str | None = None,
) -> InviteReport:
    """Invite people; whoever was invited or enrolled before is left as they are.

    A draft opens for enrolment with its first invitation.

    :param person_ids: whom to invite; None for everybody who is eligible.
    :param role: only people to whom this role is offered; None for both.
    :raises ConflictError: the programme is over.
    **Touches** writes enrolment, notice, programme, audit_entry.
    """
    if programme.state not in ("draft", *OPEN):
        raise ConflictError("programme_over", "This programme takes nobody in any more. Nobody was invited.")
    report = InviteReport()
    # Two managers who invite at the same moment stand in line: the second finds whom the first invited.
    db.execute(select(Programme.id).where(Programme.id == programme.id).with_for_update())
    enrolled = {row.person_id for row in queries.list_enrolments(db, programme.id)}
    for person_id, fit in _wanted(db, programme, now, person_ids, role).items():
        if person_id in enrolled:
            report.already += 1
        elif fit.role is None or role not in (None, *fit.roles):
            report.not_eligible += 1
        else:
            report.invited += 1
            _invite_one(db, programme, person_id, role or fit.role, now)
    if report.invited:
        if programme.state == "draft":
            change_state(db, programme, "enrolling", actor, now)
        audit.record(db, actor, "programme.invite", programme.id, now, invited=report.invited)
    db.flush()
    return report


def _wanted(
    db: Db, programme: Programme, now: datetime, person_ids: Iterable[uuid.UUID] | None, role: str | None
) -> dict[uuid.UUID, queries.Fit]:
    if person_ids is None:
        return {row.person.id: row.fit for row in queries.eligible_people(db, programme, now.date(), role)}
    ids = list(dict.fromkeys(person_ids))
    fits = queries.fits_by_person(db, programme, now.date(), ids)
    return {person_id: fits.get(person_id, queries.STRANGER) for person_id in ids}


def _invite_one(db: Db, programme: Programme, person_id: uuid.UUID, role: str, now: datetime) -> None:
    db.add(new_enrolment(programme, person_id, role, "invited", now, invited_at=now))
    notify.tell(
        db,
        person_id,
        "programme_invitation",
        Text(
            "You are invited to “%(name)s” as a %(role)s. Have a look and decide for yourself.",
            name=programme.name,
            role=Text(role),
        ),
        now,
        f"/enrol/{programme.id}",
    )


def new_enrolment(
    programme: Programme, person_id: uuid.UUID, role: str, state: str, now: datetime, **values: Any
) -> Enrolment:
    """Make an enrolment without answers; the caller adds it.

    **Touches** pure.
    """
    empty = dict.fromkeys(
        ("motivation_level", "motivation", "decline_reason", "consented_at", "invited_at", "submitted_at")
    )
    return Enrolment(
        programme_id=programme.id,
        person_id=person_id,
        role=role,
        state=state,
        capacity=1,
        active_pairings=0,
        created_at=now,
        updated_at=now,
        **(empty | values),
    )


def start_enrolment(
    db: Db, programme: Programme, person_id: uuid.UUID, answers: forms.Answers, now: datetime
) -> Enrolment:
    """Keep a draft of somebody's answers; it is not in the pool.

    :raises NotAllowedError: they may not take part; the message says why.
    :raises ConflictError: they are in the pool already, or paired.
    **Touches** writes enrolment, profile, person_skill.
    """
    enrolment = queries.find_enrolment(db, programme.id, person_id)
    if enrolment is not None and enrolment.state in ("submitted", "completed"):
        raise ConflictError(
            "enrolment_submitted", "You have enrolled already. Open the page again to change answers."
        )
    return _keep(db, programme, person_id, answers, now, "started")


def submit_enrolment(
    db: Db, programme: Programme, person_id: uuid.UUID, answers: forms.Answers, now: datetime
) -> Enrolment:
    """Put somebody into the pool of the matching, or change their answers while they wait there.

    :raises InputError: something is missing; `details` by form field.
    :raises NotAllowedError: they may not take part; the message says why.
    :raises ConflictError: they are paired, so that their answers are fixed.
    **Touches** writes enrolment, profile, person_skill.
    """
    missing = forms.missing_answers(answers)
    if missing:
        raise InputError(
            "enrolment_incomplete",
            "A few answers are missing; they are marked below. Nothing was lost.",
            missing,
        )
    enrolment = _keep(db, programme, person_id, answers, now, "submitted")
    enrolment.consented_at = enrolment.consented_at or now
    consents.give(db, person_id, "participation", now, programme.id)
    return enrolment


def _keep(
    db: Db, programme: Programme, person_id: uuid.UUID, answers: forms.Answers, now: datetime, state: str
) -> Enrolment:
    enrolment = queries.find_enrolment(db, programme.id, person_id)
    roles = open_roles(db, programme, enrolment, person_id, now)
    if enrolment is None:
        enrolment = new_enrolment(programme, person_id, roles[0], "started", now)
        db.add(enrolment)
    if enrolment.active_pairings:
        raise ConflictError(
            "enrolment_paired",
            "You have a partner now, so the answers that led to you two stay as they are.",
        )
    if answers.role in roles:
        enrolment.role = answers.role
    elif enrolment.role not in roles:
        enrolment.role = roles[0]
    save_answers(db, programme, enrolment, answers, now)
    if state == "submitted" and enrolment.state != "submitted":
        enrolment.submitted_at = now
    enrolment.state, enrolment.decline_reason = state, None
    db.flush()
    return enrolment


def open_roles(
    db: Db, programme: Programme, enrolment: Enrolment | None, person_id: uuid.UUID, now: datetime
) -> tuple[str, ...]:
    """Give the roles that a person may take now, the better fitting one first.

    :param enrolment: theirs; None when they have none. The invited may still enrol when it runs.
    :raises NotAllowedError: none; the message says why.
    **Touches** reads person.
    """
    fit = queries.find_fit(db, programme, person_id, now.date())
    if not fit.roles:
        raise NotAllowedError(
            "not_eligible",
            Text(
                "This programme does not fit you at present (%(why)s). If that is a mistake, tell the "
                "programme team.",
                why=fit.text,
            ),
        )
    if programme.state == "enrolling" or (programme.state == "running" and enrolment is not None):
        return fit.roles
    raise NotAllowedError(
        "enrolment_closed",
        "This programme has not opened for enrolment yet. The programme team can tell you when it starts."
        if programme.state == "draft"
        else "This programme takes nobody in any more. The programme team can tell you when the next one "
        "starts.",
    )


def save_answers(
    db: Db, programme: Programme, enrolment: Enrolment, answers: forms.Answers, now: datetime
) -> None:
    """Write somebody's answers down, without asking whether they may give them.

    **Touches** writes enrolment, profile, person_skill.
    """
    enrolment.capacity = answers.capacity
    enrolment.motivation_level, enrolment.motivation = answers.motivation_level, answers.motivation
    enrolment.updated_at = now
    profile = db.scalars(select(Profile).where(Profile.person_id == enrolment.person_id)).one_or_none()
    if profile is None:
        profile = Profile(person_id=enrolment.person_id)
        db.add(profile)
    profile.languages, profile.work_days = list(answers.languages), list(answers.work_days)
    profile.work_from_minute, profile.work_to_minute = answers.work_from_minute, answers.work_to_minute
    profile.time_zone, profile.updated_at = answers.time_zone, now
    _save_skills(db, programme, enrolment.person_id, answers)


def _save_skills(db: Db, programme: Programme, person_id: uuid.UUID, answers: forms.Answers) -> None:
    """Replace what the person said about this programme's skills; other programmes' answers stay."""
    here = set(db.scalars(select(ProgrammeSkill.skill_id).where(ProgrammeSkill.programme_id == programme.id)))
    told: dict[tuple[uuid.UUID, str], tuple[int, int | None]] = {}
    for skill_id, level in answers.offers.items():
        told[skill_id, "offered"] = (level, None)
    for skill_id, (level, priority) in answers.wants.items():
        told[skill_id, "wanted"] = (level, priority)
    for row in db.scalars(select(PersonSkill).where(PersonSkill.person_id == person_id)):
        if row.skill_id not in here:
            continue
        answer = told.pop((row.skill_id, row.direction), None)
        if answer is None:
            db.delete(row)
        else:
            row.level, row.priority = answer
    for (skill_id, direction), (reached, wish) in told.items():
        if skill_id in here:
            db.add(
                PersonSkill(
                    person_id=person_id,
                    skill_id=skill_id,
                    direction=direction,
                    level=reached,
                    priority=wish,
                )
            )
    db.flush()


def decline_invitation(enrolment: Enrolment, reason: str | None, now: datetime) -> None:
    """Say no to an invitation; declining twice is declining.

    :param reason: key of `forms.DECLINE_REASONS`; None when the person names none.
    :raises ConflictError: they enrolled meanwhile.
    **Touches** writes enrolment.
    """
    if enrolment.state not in ("invited", "started", "declined"):
        raise ConflictError(
            "enrolment_submitted",
            "You have enrolled meanwhile. To leave, use “Withdraw” on the enrolment page.",
        )
    enrolment.state, enrolment.decline_reason = "declined", reason or enrolment.decline_reason
    enrolment.updated_at = now


def withdraw(db: Db, enrolment: Enrolment, now: datetime) -> None:
    """Leave the pool; withdrawing twice is withdrawing.

    :raises ConflictError: the person is paired: a pairing is ended on its own page.
    **Touches** writes enrolment, outbox_event.
    """
    if enrolment.active_pairings:
        raise ConflictError(
            "enrolment_paired",
            "You have a partner now. End the pairing on its own page first; nobody is asked for a reason.",
        )
    if enrolment.state == "withdrawn":
        return
    if enrolment.state not in ("started", "submitted"):
        raise ConflictError(
            "enrolment_not_open", "You are not enrolled, so there is nothing to withdraw from."
        )
    enrolment.state, enrolment.updated_at = "withdrawn", now
    consents.withdraw(db, enrolment.person_id, "participation", now, enrolment.programme_id)
    # Whoever keeps proposals with this person must let go of them.
    jobs.enqueue(
        db,
        "enrolment_withdrawn",
        now,
        programme_id=str(enrolment.programme_id),
        person_id=str(enrolment.person_id),
    )


def count_pairing(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID, change: int) -> None:
    """Note that a pairing of this person began (+1) or ended (-1).

    **Touches** writes enrolment.
    """
    enrolment = queries.find_enrolment(db, programme_id, person_id)
    if enrolment is not None:
        enrolment.active_pairings = max(0, enrolment.active_pairings + change)

"""What changes programmes and enrolments."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select

from rmplugin import audit, jobs, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotAllowedError
from rmplugin.people import consents
from rmplugin.people.models import Person, Skill
from rmplugin.programmes import forms, places, profiles, queries
from rmplugin.programmes.answers import Answers, missing_answers
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
MOST_NOMINATIONS = 5
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
    names = {entry.name for entry in skills}
    lower = {name.lower() for name in names}
    named = or_(Skill.name.in_(names), func.lower(Skill.name).in_(lower))
    known = {skill.name.casefold(): skill for skill in db.scalars(select(Skill).where(named))}
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
    :raises InputError: settings that contradict each other, or what pairs write is kept longer than people
        signed up for.
    :raises ConflictError: the settings became fixed meanwhile, or the programme is archived.
    **Touches** writes programme, skill, programme_skill, audit_entry.
    """
    if programme.state == "archived":
        raise ConflictError("programme_archived", "This programme is archived and can no longer be changed.")
    settings = dict(values)
    skills = settings.pop("skills")
    fixed = is_fixed(db, programme)
    if fixed and not settings.keys() <= set(forms.SafeProgrammeForm().fields):
        raise ConflictError(
            "programme_fixed",
            "Somebody was invited meanwhile, so dates, eligibility and completion can no longer change. "
            "Nothing was changed. Open the settings again to change the rest.",
        )
    _refuse_known_name(db, settings["name"], programme.id)
    if settings.get("ends_on", programme.ends_on) != programme.ends_on:
        _refuse_bad_end(settings["ends_on"], now)
    until = settings.get("sign_up_until")
    if until is not None and until > settings.get("ends_on", programme.ends_on):
        message = "Sign-up must end before the programme does."
        raise InputError("sign_up_until", message, {"sign_up_until": message})
    if fixed and settings.get("keep_months", 0) > programme.keep_months:
        message = "People signed up for a shorter time, so it can only become shorter."
        raise InputError("keep_months", message, {"keep_months": message})
    for name, value in settings.items():
        setattr(programme, name, value)
    if not fixed:
        db.execute(delete(ProgrammeSkill).where(ProgrammeSkill.programme_id == programme.id))
    _add_skills(db, programme, skills)
    places.fill_places(db, programme, now)
    audit.record(db, actor, "programme.change", programme.id, now, fields=sorted(settings))


def change_state(db: Db, programme: Programme, state: str, actor: str, now: datetime) -> None:
    """Move a programme on: open or close enrolment, conclude, archive. Its pairs end with it.

    :param state: one of `STEPS[programme.state]`; the state that it is in already changes nothing.
    :raises ConflictError: there is no such step.
    **Touches** writes programme, audit_entry, outbox_event.
    """
    if state == programme.state:
        return
    if state not in STEPS[programme.state]:
        raise ConflictError(
            "programme_step",
            "The programme has moved on meanwhile, so this step is not possible now. Nothing was changed.",
        )
    if state == "enrolling":
        programme.opened_at = programme.opened_at or now
    audit.record(db, actor, "programme.state", programme.id, now, before=programme.state, after=state)
    programme.state = state
    if state == "archived":
        jobs.enqueue(db, "programme_archived", now, programme_id=str(programme.id))


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
    how = {"invited_at": now, "source": "invited"}
    db.add(places.new_enrolment(programme, person_id, role, "invited", now, **how))
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


def start_enrolment(
    db: Db, programme: Programme, person_id: uuid.UUID, answers: Answers, now: datetime
) -> Enrolment:
    """Keep a draft of somebody's answers; it is not in the pool.

    :raises NotAllowedError: they may not take part; the message says why.
    :raises ConflictError: they are in the pool already, or paired.
    **Touches** writes enrolment, profile, person_skill.
    """
    enrolment = queries.find_enrolment(db, programme.id, person_id)
    if enrolment is not None and enrolment.state in forms.SIGNED_UP:
        raise ConflictError(
            "enrolment_submitted", "You have enrolled already. Open the page again to change answers."
        )
    return _keep(db, programme, person_id, answers, now, "started")


def submit_enrolment(
    db: Db, programme: Programme, person_id: uuid.UUID, answers: Answers, now: datetime
) -> Enrolment:
    """Let somebody sign up, or change their answers later.

    They come into the pool of the matching, unless they wait for their line manager or for a free place.

    :raises InputError: something is missing; `details` by form field.
    :raises NotAllowedError: they may not take part; the message says why.
    :raises ConflictError: they are paired, so that their answers are fixed.
    **Touches** locks programme; writes enrolment, profile, person_skill, endorsement, notice.
    """
    missing = missing_answers(answers)
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
    db: Db, programme: Programme, person_id: uuid.UUID, answers: Answers, now: datetime, state: str
) -> Enrolment:
    enrolment = queries.find_enrolment(db, programme.id, person_id)
    roles = open_roles(db, programme, enrolment, person_id, now)
    if enrolment is None:
        enrolment = places.new_enrolment(programme, person_id, roles[0], "started", now)
        db.add(enrolment)
    if enrolment.active_pairings:
        raise ConflictError(
            "enrolment_paired",
            "You have a partner now, so the answers that led to you two stay as they are.",
        )
    before = (enrolment.state, enrolment.role)
    if answers.role in roles:
        enrolment.role = answers.role
    elif enrolment.role not in roles:
        enrolment.role = roles[0]
    profiles.save_answers(db, programme, enrolment, answers, now)
    enrolment.started_at = enrolment.started_at or now
    if state == "started":
        places.move(enrolment, state, now)
    elif before[0] not in forms.SIGNED_UP or before[1] != enrolment.role:
        enrolment.submitted_at = now
        places.move(enrolment, "started", now)
        db.flush()
        places.admit(db, programme, enrolment, now)
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


def decline_invitation(db: Db, enrolment: Enrolment, reason: str | None, now: datetime) -> None:
    """Say no to an invitation; declining twice is declining. The reason is counted, and kept of nobody.

    :param reason: key of `forms.DECLINE_REASONS`; None when the person names none.
    :raises ConflictError: they enrolled meanwhile.
    **Touches** writes enrolment, stage_reason.
    """
    if enrolment.state not in ("invited", "started", "declined"):
        raise ConflictError(
            "enrolment_submitted",
            "You have enrolled meanwhile. To leave, use “Withdraw” on the enrolment page.",
        )
    if enrolment.state != "declined":
        if reason is not None:
            places.count_reason(db, enrolment, reason, now)
        places.move(enrolment, "declined", now)


def withdraw(db: Db, enrolment: Enrolment, now: datetime) -> None:
    """Leave the pool or the line; withdrawing twice is withdrawing.

    :raises ConflictError: the person is paired: a pairing is ended on its own page.
    **Touches** writes enrolment, outbox_event, notice.
    """
    if enrolment.active_pairings:
        raise ConflictError(
            "enrolment_paired",
            "You have a partner now. End the pairing on its own page first; nobody is asked for a reason.",
        )
    if enrolment.state == "withdrawn":
        return
    if enrolment.state not in ("started", "endorsing", "waitlisted", "submitted", "paused"):
        raise ConflictError(
            "enrolment_not_open", "You are not enrolled, so there is nothing to withdraw from."
        )
    places.leave(db, enrolment, now)


def choose_for_time(db: Db, enrolment: Enrolment, choice: str, weeks: int, now: datetime) -> None:
    """Keep what somebody without time chooses; it is counted by stage, and of nobody.

    "shorter" and "retime" change nothing by themselves: the page that follows does.

    :param choice: key of `forms.TIME_CHOICES`.
    :param weeks: how long a pause lasts.
    :raises ConflictError: a pause or an end that the state does not allow; see `places.pause` and `withdraw`.
    **Touches** writes stage_reason, enrolment, outbox_event, notice.
    """
    if enrolment.state in ("declined", "withdrawn", "completed"):
        raise ConflictError("enrolment_not_open", "You do not take part now, so it takes none of your time.")
    places.count_reason(db, enrolment, "time", now, choice)
    if enrolment.active_pairings or choice in ("shorter", "retime"):
        return
    if choice == "pause":
        places.pause(db, enrolment, weeks, now)
    elif enrolment.state == "invited":
        places.move(enrolment, "declined", now)
    else:
        withdraw(db, enrolment, now)


def nominate(
    db: Db, programme: Programme, person: Person, nominator_id: uuid.UUID, now: datetime, *, named: bool
) -> None:
    """Invite somebody whom a colleague thinks of; they decide, and whether they do is told to nobody.

    Whoever has an enrolment, or does not fit, is left alone, and the colleague is not told which.

    :param named: the colleague wants to be named.
    :raises ConflictError: the colleague has nominated enough people.
    **Touches** writes enrolment, notice.
    """
    mine = select(func.count(Enrolment.id)).where(
        Enrolment.programme_id == programme.id, Enrolment.nominated_by == nominator_id
    )
    if (db.scalar(mine) or 0) >= MOST_NOMINATIONS:
        raise ConflictError(
            "nominated_enough",
            "You have nominated five people, which is as many as one person can. Nothing was changed. Tell "
            "the programme team about others.",
        )
    fit = queries.find_fit(db, programme, person.id, now.date())
    if fit.role is None or queries.find_enrolment(db, programme.id, person.id) is not None:
        return
    how = {"invited_at": now, "source": "nominated", "nominated_by": nominator_id}
    db.add(places.new_enrolment(programme, person.id, fit.role, "invited", now, **how))
    name = db.get_one(Person, nominator_id).display_name
    values = {"programme": programme.name, "role": Text(fit.role)}
    text = (
        Text(
            "%(name)s thinks of you as a %(role)s in “%(programme)s”. Have a look and decide for yourself.",
            name=name,
            **values,
        )
        if named
        else Text(
            "A colleague thinks of you as a %(role)s in “%(programme)s”. Have a look and decide for "
            "yourself.",
            **values,
        )
    )
    notify.tell(db, person.id, "programme_invitation", text, now, f"/enrol/{programme.id}")


def count_pairing(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID, change: int) -> None:
    """Note that a pairing of this person began (+1) or ended (-1).

    **Touches** writes enrolment.
    """
    enrolment = queries.find_enrolment(db, programme_id, person_id)
    if enrolment is not None:
        enrolment.active_pairings = max(0, enrolment.active_pairings + change)

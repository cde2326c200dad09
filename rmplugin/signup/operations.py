"""What people say before they sign up, and what the programme team does so that more do."""

import uuid
from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy import select, update

from rmplugin import audit, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotAllowedError
from rmplugin.privacy import LEAST_FOR_MEAN
from rmplugin.programmes import operations as programmes
from rmplugin.programmes.forms import SIGNED_UP
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import list_enrolments
from rmplugin.signup import queries
from rmplugin.signup.forms import ITEMS
from rmplugin.signup.models import Concern, PublicAnswer, Readiness, ReadinessTaken, Taster
from rmplugin.texts import Text

# Who was written to a moment ago is left in peace.
NUDGE_KINDS = {"reminder": "programme_reminder", "sponsor": "programme_sponsor"}


def raise_concern(db: Db, programme: Programme, code: str, text: str, now: datetime) -> None:
    """Put a concern into the box. Nothing tells whose it is.

    :param code: key of `forms.CONCERNS`.
    :param text: own words; "" for none.
    **Touches** writes concern.
    """
    month = now.date().replace(day=1)
    # The id is by chance alone: our others tell the moment.
    db.add(Concern(id=uuid.uuid4(), programme_id=programme.id, code=code, text=text or None, month=month))


def publish_answer(
    db: Db, programme: Programme, code: str | None, question: str, answer: str, actor: str, now: datetime
) -> PublicAnswer:
    """Answer a question publicly; concerns of its code that wait are answered with it.

    :param code: key of `forms.CONCERNS`; None for a question that nobody had to ask.
    **Touches** writes public_answer, concern, audit_entry.
    """
    row = PublicAnswer(
        programme_id=programme.id, code=code, question=question, answer=answer, created_at=now, updated_at=now
    )
    db.add(row)
    db.flush()
    if code is not None:
        mine = (Concern.programme_id == programme.id, Concern.code == code, Concern.answer_id.is_(None))
        db.execute(update(Concern).where(*mine).values(answer_id=row.id))
    audit.record(db, actor, "public_answer.create", row.id, now)
    return row


def change_answer(db: Db, row: PublicAnswer, question: str, answer: str, actor: str, now: datetime) -> None:
    """Put a public answer into other words.

    **Touches** writes public_answer, audit_entry.
    """
    row.question, row.answer, row.updated_at = question, answer, now
    audit.record(db, actor, "public_answer.change", row.id, now)


def remove_answer(db: Db, row: PublicAnswer, actor: str, now: datetime) -> None:
    """Take a public answer away; its concerns wait again.

    **Touches** writes public_answer, concern, audit_entry.
    """
    db.execute(update(Concern).where(Concern.answer_id == row.id).values(answer_id=None))
    audit.record(db, actor, "public_answer.remove", row.id, now)
    db.delete(row)


def switch_survey(db: Db, programme: Programme, actor: str, now: datetime, *, is_open: bool) -> None:
    """Open or close the readiness survey.

    **Touches** writes readiness, audit_entry.
    """
    row = queries.find_readiness(db, programme.id)
    if row is None:
        nothing = dict.fromkeys(ITEMS, 0)
        row = Readiness(
            programme_id=programme.id, people=0, sums=nothing, shown_people=0, shown=dict(nothing)
        )
        db.add(row)
    row.is_open = is_open
    audit.record(db, actor, "readiness.open" if is_open else "readiness.close", programme.id, now)


def answer_survey(
    db: Db, programme: Programme, lti_user_id: uuid.UUID | None, answers: Mapping[str, int]
) -> None:
    """Add somebody's answers up with those of the others; which were theirs is kept nowhere.

    What is shown moves with every ten people: with every one, it would show the newest answer.

    :param answers: item of `forms.ITEMS` -> 1..5.
    :raises NotAllowedError: they came by no launch that could tell whether they answer twice.
    :raises ConflictError: the survey is closed, or they answered before.
    **Touches** writes readiness, readiness_taken.
    """
    if lti_user_id is None or not queries.lti_user_exists(db, lti_user_id):
        raise NotAllowedError("survey_unknown", "Open the activity from your course to answer the survey.")
    query = select(Readiness).where(Readiness.programme_id == programme.id)
    row = db.scalars(query.with_for_update()).one_or_none()
    if row is None or not row.is_open:
        raise ConflictError("survey_closed", "The survey is closed. Nothing was kept of your answers.")
    if queries.has_answered(db, programme.id, lti_user_id):
        raise ConflictError(
            "already_answered", "You answered before. Your first answers count; nothing was changed."
        )
    db.add(ReadinessTaken(programme_id=programme.id, lti_user_id=lti_user_id))
    row.people += 1
    row.sums = {item: row.sums.get(item, 0) + answers[item] for item in ITEMS}
    if row.people % LEAST_FOR_MEAN == 0:
        row.shown, row.shown_people = dict(row.sums), row.people
    db.flush()


def launch(db: Db, programme: Programme, reason: str | None, actor: str, now: datetime) -> None:
    """Open enrolment; when something is not ready, with a reason, which is written down.

    :param reason: key of `forms.OVERRIDES`; None when none was given.
    :raises InputError: something is not ready, and there is no reason.
    :raises ConflictError: the programme is no draft any more.
    **Touches** writes programme, audit_entry.
    """
    if programme.state != "draft":
        raise ConflictError("already_launched", "Enrolment was opened before. Nothing was changed.")
    warnings = [
        check.code for check in queries.check_readiness(db, programme, now.date()) if check.level == "warning"
    ]
    if warnings and reason is None:
        raise InputError(
            "launch_reason",
            "Something is not ready. Mend it, or say why you launch all the same.",
            {"reason": "Choose why you launch all the same."},
        )
    if warnings:
        audit.record(db, actor, "programme.launch_override", programme.id, now, warnings=warnings, why=reason)
    programmes.change_state(db, programme, "enrolling", actor, now)


def nudge(db: Db, programme: Programme, message: str, actor: str, now: datetime) -> int:
    """Write to everybody who was invited or has begun, and not answered; who reads one gets no second one.

    :param message: "reminder", or "sponsor" for the sponsor's message.
    :return: how many people.
    :raises ConflictError: enrolment is not open, or there is no message of the sponsor.
    **Touches** writes notice, audit_entry.
    """
    if programme.state != "enrolling":
        raise ConflictError("enrolment_closed", "Enrolment is not open, so nobody was written to.")
    if message == "sponsor" and not programme.sponsor_message:
        raise ConflictError(
            "no_message", "There is no message of the sponsor yet. Write it in the settings first."
        )
    path = f"/enrol/{programme.id}"
    if message == "sponsor":
        words = Text(
            "A message about “%(name)s”: %(text)s", name=programme.name, text=programme.sponsor_message
        )
    else:
        words = Text(
            "You are still welcome in “%(name)s”. Say yes or no; it takes five minutes.", name=programme.name
        )
    told = [(person_id, words, path) for person_id, _role in queries.waiting_people(db, programme.id)]
    notify.tell_all(db, NUDGE_KINDS[message], told, now, [path])
    audit.record(db, actor, f"programme.{message}", programme.id, now, people=len(told))
    return len(told)


def add_taster(
    db: Db, programme: Programme, starts_at: datetime, place: str, actor: str, now: datetime
) -> int:
    """Offer a meeting in which people get to know the programme; whoever has not answered is told.

    :return: how many people were told.
    :raises InputError: it is in the past.
    **Touches** writes taster, notice, audit_entry.
    """
    if starts_at <= now:
        raise InputError("taster_past", "Choose a time to come.", {"day": "Choose a time to come."})
    db.add(Taster(programme_id=programme.id, starts_at=starts_at, place=place, created_at=now))
    audit.record(db, actor, "taster.create", programme.id, now)
    path = f"/programmes/{programme.id}/questions"
    words = Text("Get to know “%(name)s” in a short session before you decide.", name=programme.name)
    told = [(person_id, words, path) for person_id, _role in queries.waiting_people(db, programme.id)]
    notify.tell_all(db, "programme_taster", told, now, [path])
    return len(told)


def remove_taster(db: Db, programme: Programme, taster_id: uuid.UUID, actor: str, now: datetime) -> None:
    """Take a taster session away; one that is gone already changes nothing.

    **Touches** writes taster, audit_entry.
    """
    row = db.get(Taster, taster_id)
    if row is not None and row.programme_id == programme.id:
        db.delete(row)
        audit.record(db, actor, "taster.remove", programme.id, now)


def extend(db: Db, programme: Programme, last_day: date, actor: str, now: datetime) -> None:
    """Let people sign up for longer.

    :raises InputError: the day is over, or after the programme.
    **Touches** writes programme, audit_entry.
    """
    before = programme.sign_up_until or programme.starts_on
    if not max(before, now.date()) < last_day <= programme.ends_on:
        text = "Choose a day after the last one so far, and before the programme ends."
        raise InputError("sign_up_until", text, {"sign_up_until": text})
    programme.sign_up_until = last_day
    audit.record(db, actor, "programme.extend", programme.id, now)


def ease(
    db: Db, programme: Programme, allowance: int, minutes: int, weeks: int, actor: str, now: datetime
) -> int:
    """Ask for less time than people were told; what completion asks for shrinks with it.

    Whoever has signed up or is asked to is told: less is the only change that nobody has to agree to.

    :param allowance: minutes of working time per week; `minutes` of a session; `weeks` between sessions.
    :return: how many people were told.
    :raises InputError: it is more in some way, or a session does not fit in.
    **Touches** writes programme, notice, audit_entry.
    """
    _refuse_more(programme, allowance, minutes, weeks)
    possible = max(1, (programme.ends_on - programme.starts_on).days // (7 * weeks))
    share = minutes / programme.session_minutes
    programme.allowance_minutes, programme.session_minutes = allowance, minutes
    programme.cadence_weeks = weeks
    programme.min_sessions = min(programme.min_sessions, possible)
    programme.min_minutes = max(
        1, min(round(programme.min_minutes * share), programme.min_sessions * minutes)
    )
    words = Text(
        "“%(name)s” asks for less time now: %(minutes)s minutes a week.",
        name=programme.name,
        minutes=allowance,
    )
    path = f"/enrol/{programme.id}"
    told = [
        (row.person_id, words, path)
        for row in list_enrolments(db, programme.id)
        if row.state in ("invited", "started", *SIGNED_UP)
    ]
    notify.tell_all(db, "programme_eased", told, now, [path])
    audit.record(db, actor, "programme.ease", programme.id, now, allowance=allowance, people=len(told))
    return len(told)


def _refuse_more(programme: Programme, allowance: int, minutes: int, weeks: int) -> None:
    faults = {}
    if allowance > programme.allowance_minutes:
        faults["allowance_minutes"] = "People said yes to less than that."
    if minutes > programme.session_minutes:
        faults["session_minutes"] = "People said yes to less than that."
    if weeks < programme.cadence_weeks:
        faults["cadence_weeks"] = "People said yes to fewer sessions than that."
    if not faults and minutes > allowance * weeks:
        faults["session_minutes"] = "A session does not fit into that working time."
    unchanged = (programme.allowance_minutes, programme.session_minutes, programme.cadence_weeks)
    if not faults and (allowance, minutes, weeks) == unchanged:
        faults["allowance_minutes"] = "That is what it asks for now."
    if faults:
        raise InputError("not_less", "This can only become less. Nothing was changed.", faults)

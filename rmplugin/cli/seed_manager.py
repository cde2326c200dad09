"""What the manager of a simulated programme does: answers, offers, attests, looks after pairs."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from rmplugin.checkins import operations as checkins
from rmplugin.checkins.queries import open_tasks
from rmplugin.cli.seed_pilot import ACTOR
from rmplugin.demo.months_play import DAY, Act, Stage
from rmplugin.demo.months_words import CONCERNS, PUBLIC_ANSWERS
from rmplugin.errors import ConflictError
from rmplugin.matching.models import Pairing
from rmplugin.preparation import operations as preparation
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.safeguards import operations as safeguards
from rmplugin.sessions import operations as sessions
from rmplugin.sessions.models import MentoringSession
from rmplugin.signup import operations as signup

# Every so many weeks a supervision group is offered; the manager sees to open matters once a week.
GROUP_EVERY, WEEK = 4, 7.0
SEATS, JOIN = 12, 8


class Manager:
    """The manager of one programme; `acts` is what they do.

    :param contacts: employee numbers of those who can be asked for help.
    :param days: how long the play lasts.
    """

    def __init__(self, stage: Stage, programme_id: uuid.UUID, contacts: Sequence[str], days: int) -> None:
        self.stage, self.programme_id, self.contacts, self.days = stage, programme_id, contacts, days
        self.chance = stage.chance("manager")

    @property
    def programme(self) -> Programme:
        """Read the programme anew."""
        return self.stage.db.get_one(Programme, self.programme_id)

    def acts(self) -> Act:
        """Accompany the programme."""
        yield from self._sign_up()
        for week in range(1, self.days // 7 + 1):
            yield WEEK
            self._attest()
            self._care()
            if week % GROUP_EVERY == 1:
                self._offer_group("mentor" if week % (2 * GROUP_EVERY) == 1 else "mentee")

    def _sign_up(self) -> Act:
        """Name contacts, hear concerns and answer some, remind those who have not answered."""
        db, now = self.stage.db, self.stage.now
        preparation.set_gate(db, self.programme, ACTOR, now, gate=True)
        for number in self.contacts:
            safeguards.add_contact(db, self.programme, number, ACTOR, now)
        signup.add_taster(db, self.programme, now + 5 * DAY, "Town hall, stage left", ACTOR, now)
        for code, text in CONCERNS:
            yield 1.0
            signup.raise_concern(self.stage.db, self.programme, code, text, self.stage.now)
        for code, question, answer in PUBLIC_ANSWERS:
            signup.publish_answer(
                self.stage.db, self.programme, code, question, answer, ACTOR, self.stage.now
            )
        signup.nudge(self.stage.db, self.programme, "reminder", ACTOR, self.stage.now)

    def _attest(self) -> None:
        query = select(MentoringSession).join(Pairing, Pairing.id == MentoringSession.pairing_id)
        query = query.where(
            Pairing.programme_id == self.programme_id,
            MentoringSession.state == "lapsed",
            MentoringSession.attest_asked_at.is_not(None),
            MentoringSession.attest_refused_at.is_(None),
        )
        for session in self.stage.db.scalars(query.order_by(MentoringSession.id)).all():
            if self.chance.random() < 0.3:
                yes = self.chance.random() < 0.8
                reason = "Both told me." if yes else ""
                sessions.attest(self.stage.db, session, ACTOR, None, self.stage.now, yes=yes, reason=reason)

    def _care(self) -> None:
        for task, _ in open_tasks(self.stage.db, self.programme_id, None):
            if self.chance.random() < 0.4:
                checkins.finish_task(self.stage.db, task, ACTOR, self.stage.now)

    def _offer_group(self, role: str) -> None:
        db, now = self.stage.db, self.stage.now
        group = preparation.plan_group(
            db,
            self.programme,
            {
                "role": role,
                "starts_at": _at_noon(now + 10 * DAY),
                "minutes": 60,
                "capacity": SEATS,
                "link": "https://meet.example/mentoring",
            },
            ACTOR,
            now,
        )
        query = select(Enrolment.person_id).where(
            Enrolment.programme_id == self.programme_id,
            Enrolment.role == role,
            Enrolment.state == "submitted",
            Enrolment.active_pairings > 0,
        )
        people = db.scalars(query.order_by(Enrolment.id)).all()
        for person in self.chance.sample(people, min(JOIN, len(people))):
            try:
                preparation.join(db, group, person, now)
            except ConflictError:
                return


def _at_noon(moment: datetime) -> datetime:
    return moment.replace(hour=12, minute=0, second=0, microsecond=0)

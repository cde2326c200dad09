"""The life of a simulated pair, from the first call to the thanks, by the operations that people use."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select

from rmplugin import notify
from rmplugin.agreements import operations as agreements
from rmplugin.agreements.models import Agreement
from rmplugin.aims import operations as aims
from rmplugin.aims.forms import AIMS
from rmplugin.aims.queries import find_aim, moment_in
from rmplugin.checkins import operations as checkins
from rmplugin.checkins.forms import ITEMS
from rmplugin.checkins.queries import due_checkin
from rmplugin.db import Db
from rmplugin.demo.months_notes import write_after
from rmplugin.demo.months_play import DAY, Act, Stage, workday
from rmplugin.demo.months_words import AGENDAS, CHECKIN_WORDS, EXPECTATIONS, GOALS, HELP, MESSAGES, THANKS
from rmplugin.errors import ConflictError, InputError
from rmplugin.goals import operations as goals
from rmplugin.goals.models import Goal
from rmplugin.hours import operations as hours
from rmplugin.introductions import operations as introductions
from rmplugin.introductions.queries import standing_of
from rmplugin.leaving import operations as leaving
from rmplugin.leaving.models import Thanks
from rmplugin.matching.ending import end_pairing
from rmplugin.matching.models import LIVE, Pairing
from rmplugin.messages import operations as messages
from rmplugin.preparation import operations as preparation
from rmplugin.preparation.catalogue import modules_for
from rmplugin.safeguards import operations as safeguards
from rmplugin.safeguards.models import SafeguardCase
from rmplugin.safeguards.queries import contacts_for
from rmplugin.sessions import operations as sessions
from rmplugin.sessions.forms import CAUSES
from rmplugin.sessions.models import MentoringSession

# Two pairs in ten fail, each for a reason of its own.
TEN, FAILING = 10, (3, 7)
FATES = {
    "fit": ("match_within_pair", "distancing"),
    "time": ("time", "never_scheduled"),
    "expertise": ("lack_of_expertise", "goal_not_relevant"),
}
# How a request for help moves on, and within how many days.
HELPED = (("triaged", 3), ("acting", 5), ("closed", 21))
# Sessions after which a goal is looked at half-way, and for the last time.
MID, LAST = 4, 7
LONG_AFTER = 16.0
# Pairs agree on an end of their own, so that they come to it before the programme does.
AGREED_FOR = timedelta(weeks=22)
HOURS = range(12, 17)


@dataclass(frozen=True, slots=True)
class Temper:
    """How a pair is.

    :ivar fate: key of `FATES`; None for a pair that lasts.
    :ivar rounds: of sessions before it fails.
    :ivar rhythm: days between two sessions.
    :ivar moods: satisfaction of mentor and mentee, 1..5, before chance.
    """

    fate: str | None
    rounds: int
    rhythm: int
    moods: tuple[int, int]


def temper_of(stage: Stage, number: int) -> Temper:
    """Give the pair of a number its temper. **Touches** pure."""
    chance = stage.chance("temper", number)
    fails = number % TEN in FAILING
    fate = list(FATES)[(number // TEN + number) % len(FATES)] if fails else None
    low, high = (2, 3) if fails else (4, 5)
    moods = chance.choice(((low, high), (high, low), (low, low + 1), (high, high)))
    # Now and then the two of a good pair see it very differently.
    if not fails and chance.random() < 0.08:
        moods = (2, 5)
    return Temper(fate, chance.randint(1, 5), chance.choice((10, 14, 14, 14, 21)), moods)


class PairLife:
    """One pair; `acts` is its life.

    :param number: of the pair, in the order in which they began.
    """

    def __init__(self, stage: Stage, pairing: Pairing, number: int, programme_ends: date) -> None:
        self.stage, self.pairing_id, self.ends_on = stage, pairing.id, programme_ends
        self.agreed_until = min(programme_ends, (pairing.started_at + AGREED_FOR).date())
        self.mentor, self.mentee = pairing.mentor_id, pairing.mentee_id
        self.both = (self.mentor, self.mentee)
        self.temper = temper_of(stage, number)
        self.chance = stage.chance("pair", number)
        self.number, self.held = number, 0
        self._read_in: Db | None = None
        self._row = pairing

    @property
    def pairing(self) -> Pairing:
        """Give the pairing, read anew in each transaction."""
        if self._read_in is not self.stage.db:
            self._read_in = self.stage.db
            self._row = self.stage.db.get_one(Pairing, self.pairing_id)
        return self._row

    def acts(self) -> Act:
        """Live, as long as the pairing does; on hold, wait."""
        life = self._live()
        while True:
            state = self.pairing.state
            if state not in LIVE:
                break
            if state != "active":
                yield 3.0
                continue
            rest = next(life, None)
            if rest is None:
                break
            yield rest
        yield from self._part()

    def _live(self) -> Act:
        yield from self._introduce()
        if self.pairing.introduced_at is None:
            return
        yield from self._begin()
        while not (self.temper.fate and self.held >= self.temper.rounds):
            if self.stage.now.date() > self.agreed_until and self.agreed_until < self.ends_on:
                self.agreed_until = self.ends_on
                yield from self._agree()
            yield from self._round()
        by = self.chance.choice(self.both)
        reasons = [self.chance.choice(FATES[str(self.temper.fate)])]
        following = self.chance.choice(("rematch", "rematch", "pause", "leave"))
        end_pairing(self.stage.db, self.pairing, by, reasons, following, self.stage.now, weeks=4)

    def _introduce(self) -> Act:
        """Have the first call, and say alone whether one wants to go on."""
        for person, role in zip(self.both, ("mentor", "mentee"), strict=True):
            for module in modules_for(role):
                preparation.finish(self.stage.db, person, module.key, self.stage.now)
            self._write(person, 0.7)
            yield self.chance.uniform(1, 3)
        for person in self.both:
            if self.pairing.introduced_at is None:
                word = self.chance.choices(("yes", "unsure", "no"), (88, 9, 3))[0]
                introductions.answer(self.stage.db, self.pairing, person, word, self.stage.now)
                yield self.chance.uniform(0.5, 4)

    def _begin(self) -> Act:
        """Write down what one expects, agree, set goals."""
        for person in self.both:
            agreements.save_draft(
                self.stage.db, self.pairing, self._agreed(), person, self.stage.now, send=True
            )
            yield self.chance.uniform(0.5, 2)
        yield from self._agree()
        self._set_goals()
        self._aim()

    def _agree(self) -> Act:
        """Write one agreement, or a new version when the time agreed on is over, and sign it both."""
        agreement = agreements.propose(
            self.stage.db, self.pairing, self._agreed(), self.mentor, self.stage.now
        )
        for person in self.both:
            yield self.chance.uniform(0.5, 2)
            agreements.sign(
                self.stage.db, self.stage.db.get_one(Agreement, agreement.id), person, self.stage.now
            )

    def _set_goals(self) -> None:
        for person, role in zip(self.both, ("mentor", "mentee"), strict=True):
            self._set_goal(person, role)

    def _set_goal(self, person: uuid.UUID, role: str) -> None:
        values = self.chance.choice(GOALS[role])
        more = {"weight": self.chance.randint(1, 3), "due_on": max(self.agreed_until, self._in_a_month())}
        goals.add_goal(self.stage.db, self.pairing, {**values, **more}, person, self.stage.now)

    def _in_a_month(self) -> date:
        return (self.stage.now + 30 * DAY).date()

    def _agreed(self) -> dict[str, Any]:
        words = self.chance.choice(EXPECTATIONS)
        medium = self.chance.choice(("video", "in_person", "mixed"))
        weeks = max(1, self.temper.rhythm // 7)
        return words | {
            "cadence_weeks": weeks,
            "session_minutes": 60,
            "medium": medium,
            "ends_on": self.agreed_until,
        }

    def _aim(self) -> None:
        if self.chance.random() < 0.3:
            return
        here = (self.stage.db, self.pairing)
        aims.choose_aim(*here, self.mentor, self.chance.choice([*AIMS][:-1]), "", self.stage.now)
        aims.rate(*here, self.mentor, self.chance.randint(1, 3), "", self.stage.now)
        aims.ask_to_observe(*here, self.mentor, self.stage.now)
        if self.chance.random() < 0.8:
            yes = self.chance.random() < 0.8
            aims.answer_observation(*here, self.mentee, self.stage.now, yes=yes)

    def _rate_aim(self) -> None:
        """Rate half-way and at the end, each once; mostly one has grown."""
        db, now = self.stage.db, self.stage.now
        story = find_aim(db, self.pairing_id)
        if story is None:
            return
        moment = moment_in(db, self.pairing, now.date())
        raters = {"mentor": self.mentor, "mentee": self.mentee}
        for rater, person in raters.items():
            may = rater == "mentor" or story.aim.observation == "agreed"
            if may and (moment, rater) not in story.ratings and self.chance.random() < 0.7:
                begun = story.ratings.get(("start", rater))
                grown = self.chance.choice((0, 1, 1, 2))
                rating = min(5, (begun.rating if begun else 2) + grown)
                aims.rate(db, self.pairing, person, rating, "", now)

    def _round(self) -> Act:
        """Meet once, and do what lies around it."""
        self._tidy()
        began = self.stage.now
        session = self._plan()
        self._write(self.chance.choice(self.both), 0.6)
        wait = (session.starts_at - began) / DAY
        yield wait / 2
        fate = self.chance.choices(("held", "moved", "cancelled"), (80, 12, 8))[0]
        if fate == "cancelled":
            self._cancel(session.id)
        else:
            if fate == "moved":
                self._move(session.id)
            session = self._session(session.id)
            yield max(0.1, (session.starts_at - self.stage.now) / DAY + 0.2)
            yield from self._confirm(session.id)
        yield from self._check_in()
        spent = (self.stage.now - began) / DAY
        yield max(1.0, self.temper.rhythm - spent) + self.chance.choice((0, 0, 1))
        if self.held >= 2 and self.chance.random() < 0.04:
            yield from self._break()

    def _session(self, session_id: uuid.UUID) -> MentoringSession:
        return self.stage.db.get_one(MentoringSession, session_id)

    def _slot(self) -> datetime:
        day = workday(self.stage.now + self.chance.randint(2, 6) * DAY)
        return day.replace(hour=self.chance.choice(HOURS), minute=0, second=0, microsecond=0)

    def _values(self) -> dict[str, Any]:
        kind = "first" if not self.held else "regular"
        medium = self.chance.choice(("video", "video", "in_person"))
        minutes = self.chance.choice((45, 60, 60))
        agenda = self.chance.choice(AGENDAS)
        return {"minutes": minutes, "medium": medium, "place": "", "agenda": agenda, "kind": kind}

    def _plan(self) -> MentoringSession:
        by, values = self.chance.choice(self.both), self._values()
        while True:
            try:
                return sessions.plan(self.stage.db, self.pairing, by, self._slot(), values, self.stage.now)
            except InputError as error:
                # A mentor with two partners may have the other one then.
                if error.code != "overlap":
                    raise

    def _move(self, session_id: uuid.UUID) -> None:
        values = self._values() | {"reason": self.chance.choice([*CAUSES, None])}
        by = self.chance.choice(self.both)
        while True:
            try:
                sessions.reschedule(
                    self.stage.db, self._session(session_id), by, self._slot(), values, self.stage.now
                )
            except InputError as error:
                if error.code != "overlap":
                    raise
            else:
                return

    def _cancel(self, session_id: uuid.UUID) -> None:
        by, reason = self.chance.choice((*self.both, self.mentee)), self.chance.choice([*CAUSES, None])
        sessions.cancel(self.stage.db, self._session(session_id), by, self.stage.now, reason)

    def _confirm(self, session_id: uuid.UUID) -> Act:
        """Say alone that it took place: mostly both alike, some late, some of another length, some never."""
        session = self._session(session_id)
        first, second = self.chance.sample(self.both, 2)
        how = self.chance.choices(("alike", "late", "apart", "never"), (86, 7, 4, 3))[0]
        minutes = session.planned_minutes
        self._claim(session_id, first, minutes)
        yield {"alike": self.chance.uniform(0.1, 2), "late": 9.0, "apart": 1.0, "never": LONG_AFTER}[how]
        if how == "never":
            sessions.ask_attestation(self.stage.db, self._session(session_id), first, self.stage.now)
            return
        if how == "apart":
            self._claim(session_id, second, max(15, minutes - 30))
            yield 2.0
            if self.chance.random() < 0.15:
                return
        self._claim(session_id, second, minutes)
        self.held += 1
        self._after(session_id)

    def _claim(self, session_id: uuid.UUID, person: uuid.UUID, minutes: int) -> None:
        sessions.claim(self.stage.db, self._session(session_id), person, minutes, self.stage.now)

    def _after(self, session_id: uuid.UUID) -> None:
        """Write, take on, look at the goals, and decide anew when one was unsure."""
        write_after(self.stage, self.pairing, session_id, self.chance)
        self._look_at_goals()
        self._rate_aim()
        for person in self.both:
            if self.pairing.state == "active" and standing_of(self.stage.db, self.pairing, person).due == 2:
                word = "no" if self.chance.random() < 0.15 else "yes"
                introductions.answer(self.stage.db, self.pairing, person, word, self.stage.now)

    def _look_at_goals(self) -> None:
        db, now = self.stage.db, self.stage.now
        query = db.query(Goal).filter_by(pairing_id=self.pairing_id, state="open").order_by(Goal.id)
        for goal in query.all():
            level = max(-2, min(2, self.held // 2 - 2 + self.chance.randint(-1, 1)))
            reason = self.chance.choice(("time", "access", "relevance"))
            if self.held in (MID, LAST):
                if self.held == LAST and self.chance.random() < 0.2:
                    continue
                is_mid = self.held == MID
                goals.review_goal(db, goal, goal.owner_id, level, reason, "", now, is_mid=is_mid)
                if not is_mid and self.chance.random() < 0.6:
                    self._set_goal(goal.owner_id, str(self.pairing.role_of(goal.owner_id)))
            elif self.chance.random() < 0.3:
                goals.record_progress(db, goal, goal.owner_id, level, "", now)

    def _check_in(self) -> Act:
        for person, mood in zip(self.both, self.temper.moods, strict=True):
            due = due_checkin(self.stage.db, self.pairing, person, self.stage.now)
            if due is not None and self.chance.random() < 0.85:
                answers: Mapping[str, Any] = {name: self._about(mood) for name in ITEMS}
                words = self.chance.choice(CHECKIN_WORDS)
                values = {**answers, "fit": mood, "words": words, "shared": self.chance.random() < 0.3}
                checkins.answer(
                    self.stage.db, self.stage.secrets, self.pairing, person, values, self.stage.now
                )
            yield 0.2
        if max(self.temper.moods) - min(self.temper.moods) > 2 and self.held == 2:
            self._ask_for_help()

    def _about(self, mood: int) -> int:
        return max(1, min(5, mood + self.chance.choice((-1, 0, 0, 1))))

    def _ask_for_help(self) -> None:
        contacts = contacts_for(self.stage.db, self.pairing)
        if contacts:
            by = self.both[self.temper.moods[0] > self.temper.moods[1]]
            case = safeguards.ask_for_help(
                self.stage.db, self.stage.secrets, self.pairing, by, contacts[0].id, HELP, self.stage.now,
                nameless=self.chance.random() < 0.5,
            )  # fmt: skip
            self.stage.enter(self._help(case.id), self.stage.now)

    def _help(self, case_id: uuid.UUID) -> Act:
        """Read a request as a confidential contact, see to it, close it; now and then one stays at work."""
        for state, after in HELPED:
            yield self.chance.uniform(1, after)
            if self.chance.random() < 0.1:
                return
            case = self.stage.db.get_one(SafeguardCase, case_id)
            safeguards.move_case(self.stage.db, case, state, self.stage.now)

    def _break(self) -> Act:
        choice = self.chance.choice(("pause", "pause", "shorten", "retime"))
        reason = self.chance.choice(("workload", "priorities", "no_protected_time", None))
        values = {"choice": choice, "reason": reason, "weeks": 2}
        try:
            hours.say_no_time(
                self.stage.db, self.pairing, self.chance.choice(self.both), values, self.stage.now
            )
        except ConflictError:
            # They took one lately.
            return
        if choice == "pause":
            yield 14.0

    def _write(self, person: uuid.UUID, likely: float) -> None:
        db, now = self.stage.db, self.stage.now
        if self.chance.random() < likely:
            messages.write(db, self.stage.secrets, self.pairing, person, self.chance.choice(MESSAGES), now)
            if self.chance.random() < 0.8:
                messages.mark_read(db, self.pairing_id, self.pairing.partner_of(person), now, now)

    def _tidy(self) -> None:
        """Put away what one has read in the last days."""
        for person in self.both:
            for notice in notify.unread(self.stage.db, person):
                if notice.created_at < self.stage.now - timedelta(days=4):
                    notify.put_away(self.stage.db, person, notice.id, self.stage.now)

    def _part(self) -> Act:
        """Thank each other, sooner or later; most do when they met a few times."""
        for person in self.both:
            yield self.chance.uniform(1, 5)
            if self.held > 1 and self.chance.random() < 0.7:
                text = self.chance.choice(THANKS)
                leaving.thank(self.stage.db, self.pairing, person, text, self.stage.now)
        yield 5.0
        query = select(Thanks).where(Thanks.pairing_id == self.pairing_id, Thanks.delivered_at.is_not(None))
        for thanks in self.stage.db.scalars(query.order_by(Thanks.id)).all():
            keep = self.chance.random() < 0.75
            leaving.keep_thanks(self.stage.db, thanks.id, thanks.receiver_id, keep=keep)

"""Plays a programme of some months, day by day, with a clock of its own and the worker's own tasks."""

import gc
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from sqlalchemy import select

from rmplugin.checkins import tasks as checkin_tasks
from rmplugin.cli.seed import programme_rows, programme_values
from rmplugin.cli.seed_manager import Manager
from rmplugin.cli.seed_pilot import ACTOR, seed_pilot
from rmplugin.db import Database, Db
from rmplugin.demo.company import Company, lms_people
from rmplugin.demo.company_pilot import LEAD_RANK, PILOT, pilot_profiles
from rmplugin.demo.company_profiles import make_profiles
from rmplugin.demo.months_enrolment import (
    answer_invitation,
    answer_proposal,
    answers_of,
    wait_for_colleague,
)
from rmplugin.demo.months_pairs import PairLife
from rmplugin.demo.months_people import (
    MONTH_DAYS,
    Pool,
    Staff,
    contacts_of,
    days_of,
    joiners_of,
    pool_of,
)
from rmplugin.demo.months_play import DAY, SATURDAY, Clock, Stage
from rmplugin.errors import ConflictError
from rmplugin.introductions import tasks as introduction_tasks
from rmplugin.jobs import Runtime, work_outbox
from rmplugin.leaving import tasks as leaving_tasks
from rmplugin.mailing import tasks as mail_tasks
from rmplugin.matching import releasing
from rmplugin.matching import tasks as matching_tasks
from rmplugin.matching.models import Pairing, Proposal
from rmplugin.matching.queries import get_run
from rmplugin.people import tasks as people_tasks
from rmplugin.people.models import Person
from rmplugin.preparation import tasks as preparation_tasks
from rmplugin.programmes import operations
from rmplugin.programmes import tasks as programme_tasks
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import skills_of_programme
from rmplugin.reviews import tasks as review_tasks
from rmplugin.tenants.models import Tenant

ACCOUNT = "hr-file"
# Days after the beginning.
SIGN_UP_ENDS, MATCHING, STARTS, REORGANISED = 13, 14, 21, 75
AGAIN_EVERY = 28
WEEKS_LEFT, LEAST_WEEKS = 6, 26
# So many days before the end: pairs complete, and the others get some weeks more; a last matching.
CONCLUDING, GOES_ON, LAST_MATCHING = 20, 12, 3
# How many pairs the reorganisation makes one reporting line of.
NEW_LINES, LEAVERS = 4, 2
# So many juniors are not invited but nominated by colleagues.
NOMINATED = 12

TENDED_EVERY, CHECKED_EVERY = 3, 14
SIZES_LEARNED = (1, 8, MATCHING, STARTS + 7, 45, 90)
TASKS: tuple[Callable[[Runtime], object], ...] = (
    matching_tasks.expire_due,
    introduction_tasks.see_after,
    checkin_tasks.ask_due,
    leaving_tasks.look_after,
    preparation_tasks.remind_due,
    people_tasks.refresh_all_dates,
    programme_tasks.tend_places,
)
CHECKS: tuple[Callable[[Runtime], object], ...] = (
    matching_tasks.check_presence,
    mail_tasks.take_notices,
    review_tasks.review_all,
)


@contextmanager
def _in_haste(database: Database) -> Iterator[None]:
    """Wait for the disk after no transaction: what a power cut takes away is played anew.

    Python looks for garbage rarely meanwhile, and not at what is there already.
    """
    often = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    database.engine.update_execution_options(rm_durable=False)
    try:
        yield
    finally:
        database.engine.update_execution_options(rm_durable=True)
        gc.set_threshold(*often)
        gc.unfreeze()


@dataclass
class Play:
    """A programme that is played from its first day until now.

    :ivar runtime: the tool's, with the clock of the play.
    :ivar name: of the programme.
    """

    runtime: Runtime
    tenant: Tenant
    company: Company
    name: str
    months: int
    end: datetime
    seed: int = 7
    programme_id: uuid.UUID = field(init=False)
    _met: set[uuid.UUID] = field(default_factory=set)
    _asked: int = 0

    def __post_init__(self) -> None:
        """Set the clock to the first day."""
        self.days = days_of(self.months)
        self.begin = self.end - self.days * DAY
        self.clock = Clock(self.begin)
        # Plug-ins hear nothing of what never happened.
        self.runtime = replace(self.runtime, clock=self.clock, hooks={})
        self.stage = Stage(self.clock, self.runtime.database.secrets, self.seed)
        self.staff = Staff(self.company)

    def play(self) -> Iterator[date]:
        """Play it, and give each of its days when it is over, so that one can tell how far it has come.

        **Touches** what the operations, the worker's tasks and reading the roster touch.
        """
        self._read_roster()
        with self._transaction() as db:
            self._open(db)
        with _in_haste(self.runtime.database):
            for day in range(1, self.days + 1):
                self._day(day)
                yield self.clock.now.date()

    @contextmanager
    def _transaction(self) -> Iterator[Db]:
        with self.runtime.database.transaction(self.tenant.id) as db:
            self.stage.db = db
            yield db

    def _programme(self, db: Db) -> Programme:
        return db.get_one(Programme, self.programme_id)

    def _read_roster(self) -> None:
        self.staff.write(self.clock.now.date())
        people_tasks.sync_roster(
            self.runtime.database, self.runtime.plugins, self.tenant.id, ACCOUNT,
            now=self.clock.now, accept_shrink=True,
        )  # fmt: skip

    def _open(self, db: Db) -> None:
        """Let the pilot have happened, and invite people to the programme."""
        then = replace(self.company, as_of=self.begin.date())
        pilot = pilot_profiles(then)
        if pilot:
            values = programme_values(self.company, PILOT) | {"mentee_min_rank": LEAD_RANK}
            seed_pilot(db, values, programme_rows(pilot), None, self.begin)
        pool = pool_of(self.company, self.begin.date())
        weeks = max(LEAST_WEEKS, self.days // 7 + WEEKS_LEFT)
        values = programme_values(self.company, self.name) | {
            "mentee_min_rank": LEAD_RANK,
            "needs_endorsement": True,
            "target_mentors": max(5, round(len(pool.mentors) * 0.76)),
            "target_mentees": max(5, round(len(pool.mentees) * 0.76)),
            "sign_up_until": (self.begin + SIGN_UP_ENDS * DAY).date(),
            "starts_on": (self.begin + STARTS * DAY).date(),
            "ends_on": (self.begin + weeks * timedelta(weeks=1)).date(),
        }
        programme = operations.create_programme(db, "digital_fluency", values, ACTOR, self.begin)
        self.programme_id = programme.id
        self._invite(db, pool)
        contacts = contacts_of(self.company, self.begin.date())
        manager = Manager(self.stage, programme.id, contacts, self.days)
        self.stage.enter(manager.acts(), self.begin)

    def _invite(self, db: Db, pool: Pool) -> None:
        programme = self._programme(db)
        numbers = (*pool.mentees, *pool.mentors)
        found = db.scalars(select(Person).where(Person.employee_number.in_(numbers)))
        people = {str(person.employee_number): person.id for person in found}
        skills = {skill.name: skill.id for skill in skills_of_programme(db, programme.id)}
        chance = self.stage.chance("profiles", numbers)
        nominated = set(pool.mentors[-NOMINATED:] if pool.mentees else ())
        asked = [people[number] for number in numbers if number in people and number not in nominated]
        operations.invite(db, programme, ACTOR, self.clock.now, person_ids=asked)
        for profile in make_profiles(chance, self.company, pool.mentees, pool.mentors):
            if profile.employee_number in people:
                answer = wait_for_colleague if profile.employee_number in nominated else answer_invitation
                who = (self.programme_id, people[profile.employee_number], profile)
                act = answer(self.stage, *who, answers_of(profile, skills, self.stage))
                self.stage.enter(act, self.clock.now)

    def _day(self, day: int) -> None:
        until = self.begin + day * DAY
        with self._transaction() as db:
            # Held here, so that nobody who acts has to read it again.
            programme = self._programme(db)
            self.stage.play_until(until)
            del programme
        self.clock.now = until
        if day == REORGANISED:
            self._reorganise()
        elif day % round(MONTH_DAYS) == 0 or day == self.days - 1:
            self._read_roster()
        if until.weekday() < SATURDAY or day == self.days:
            self._work(day)
        if day in SIZES_LEARNED:
            self.runtime.database.learn_sizes()
        if day in (2 * AGAIN_EVERY, 4 * AGAIN_EVERY):
            self._take_in_joiners()
        if day == MATCHING or (day > STARTS and day % AGAIN_EVERY == 0) or day == self.days - LAST_MATCHING:
            self._match()
        self._move_on(day)
        self._welcome_pairs()

    def _move_on(self, day: int) -> None:
        steps = {STARTS: "running"}
        if self.days >= LEAST_WEEKS * 7:
            steps |= {self.days - CONCLUDING: "concluding", self.days - GOES_ON: "running"}
        if day in steps:
            with self._transaction() as db:
                operations.change_state(db, self._programme(db), steps[day], ACTOR, self.clock.now)

    def _work(self, day: int) -> None:
        """Do what the worker does: its rounds each day, what time alone brings about every few days."""
        runtime = self.runtime
        work_outbox(runtime)
        if day % TENDED_EVERY == 0 or day >= self.days - 1:
            for task in TASKS:
                task(runtime)
        if day % CHECKED_EVERY == 0 or day == self.days:
            for task in CHECKS:
                task(runtime)
        work_outbox(runtime, slow=True)
        work_outbox(runtime)

    def _match(self) -> None:
        """Compute a matching of those who wait, release it, and let both of each pair answer."""
        with self._transaction() as db:
            programme = self._programme(db)
        scope = "waiting" if self._met else "all"
        try:
            run_id = matching_tasks.run_at_once(self.runtime, self.tenant.id, programme, None, scope)
            with self._transaction() as db:
                releasing.release_run(db, get_run(db, run_id), ACTOR, self.clock.now)
        except ConflictError:
            # Nobody waits on one side, or nobody fits.
            return
        with self._transaction() as db:
            query = select(Proposal).where(Proposal.run_id == run_id, Proposal.state == "released")
            for proposal in db.scalars(query.order_by(Proposal.id)):
                self._asked += 1
                for person in (proposal.mentor_id, proposal.mentee_id):
                    about = (self._asked, person == proposal.mentor_id)
                    self.stage.enter(answer_proposal(self.stage, proposal.id, person, about), self.clock.now)

    def _welcome_pairs(self) -> None:
        with self._transaction() as db:
            query = select(Pairing).where(Pairing.programme_id == self.programme_id)
            ends_on = self._programme(db).ends_on
            for pairing in db.scalars(query.order_by(Pairing.started_at, Pairing.id)):
                if pairing.id not in self._met:
                    life = PairLife(self.stage, pairing, len(self._met), ends_on)
                    self._met.add(pairing.id)
                    self.stage.enter(life.acts(), self.clock.now)

    def _take_in_joiners(self) -> None:
        """Invite juniors who came to the company meanwhile."""
        today = self.clock.now.date()
        joiners = joiners_of(self.company, today - AGAIN_EVERY * 2 * DAY, today)
        with self._transaction() as db:
            self._invite(db, Pool((), tuple(joiners)))

    def _reorganise(self) -> None:
        """Move a few mentors into the teams of their mentees, and let a few others leave or be away."""
        numbers = self._numbers_of_pairs()
        lines = max(1, min(NEW_LINES, len(numbers) // 6))
        gone = min(LEAVERS, len(numbers) // 8)
        # Somebody who has left cannot open the course: not those whom the visitor may click as.
        shown = {person.employee_number for person in lms_people(self.company)}
        others = [pair for pair in numbers[lines:] if pair[0] not in shown]
        leavers, away = others[:gone], others[gone:][:gone]
        for mentor, mentee in numbers[:lines]:
            self.staff.change(mentor, manager=mentee)
        for mentor, _ in leavers:
            self.staff.change(mentor, status="Terminated", left_on=self.clock.now.date())
        for mentor, _ in away:
            self.staff.change(mentor, status="Leave")
        self._read_roster()
        # They are back with the next reading.
        for mentor, _ in away:
            self.staff.change(mentor, status="Active")

    def _numbers_of_pairs(self) -> Sequence[tuple[str, str]]:
        """Name active pairs in which nobody has two partners, in an order by chance."""
        with self._transaction() as db:
            query = select(Pairing).where(
                Pairing.programme_id == self.programme_id, Pairing.state == "active"
            )
            pairs = db.scalars(query.order_by(Pairing.started_at, Pairing.id)).all()
            ids = [one for pair in pairs for one in (pair.mentor_id, pair.mentee_id)]
            known = {one: db.get_one(Person, one).employee_number for one in ids}
        alone = [pair for pair in pairs if ids.count(pair.mentor_id) == 1]
        # Their order is by chance, so that they are of all tempers.
        self.stage.chance("reorganised").shuffle(alone)
        return [(str(known[pair.mentor_id]), str(known[pair.mentee_id])) for pair in alone]

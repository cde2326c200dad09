"""A small programme that the demo plays: what must be true of every programme is true of it."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from rmplugin.agreements.models import Agreement
from rmplugin.aims.models import AimRating
from rmplugin.checkins.models import CareTask, Checkin
from rmplugin.cli.seed_months import ACCOUNT, Play
from rmplugin.cli.seed_scenes import find_scenes
from rmplugin.credits.models import Completion, CreditEntry
from rmplugin.demo.company import csv_settings, lms_people, write_company
from rmplugin.demo.months_pairs import FAILING, TEN, temper_of
from rmplugin.demo.months_play import Clock, Stage, workday
from rmplugin.jobs import OutboxEvent
from rmplugin.matching.models import Closure, Pairing
from rmplugin.policies import hours_in_hundredths
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.sessions.models import MentoringSession, SessionClaim
from rmplugin.tenants.operations import add_account

PEOPLE, MONTHS = 150, 3
COUNTED = (Agreement, CareTask, Checkin, Completion, CreditEntry, Enrolment, MentoringSession, Pairing)


class Played:
    """A company whose programme was played until now."""

    def __init__(self, runtime, tenant, now, path) -> None:
        self.runtime, self.tenant, self.now = runtime, tenant, now
        self.company = write_company(path, PEOPLE, as_of=now.date())
        connector = runtime.plugins.connector("csv_file")
        settings, ranks = csv_settings(self.company), self.company.seniority
        with self.transaction() as db:
            add_account(db, ACCOUNT, connector, settings, ranks, runtime.database.secrets, now)
        play = Play(runtime, tenant, self.company, "Played", MONTHS, now)
        assert len(list(play.play())) == play.days
        self.programme_id = play.programme_id

    def transaction(self):
        return self.runtime.database.transaction(self.tenant.id)

    def counts(self):
        """Count the rows of tables, by state where they have one."""
        with self.transaction() as db:
            return {
                table.__name__: Counter(getattr(row, "state", "") for row in db.scalars(select(table)))
                for table in COUNTED
            }


# Two plays are 40 s of computing: beside other work on few cores they need more than the usual 180 s.
@pytest.mark.timeout(1200)
def test_play_when_over_has_kept_what_holds_for_every_programme_and_is_the_same_again(
    runtime, tenant, other_tenant, clock, tmp_path
):
    played = Played(runtime, tenant, clock.now, tmp_path / "people.csv")
    with played.transaction() as db:
        _check_agreements(db)
        _check_ledger(db)
        _check_events(db, played.now)
        _check_states(db, played.programme_id)
        scenes = find_scenes(db, played.programme_id, lms_people(played.company), played.now)
    assert len({scene.person.user_id for scene in scenes}) == len(scenes) >= 3
    first = played.counts()
    assert Played(runtime, other_tenant, clock.now, tmp_path / "people.csv").counts() == first


def _check_agreements(db) -> None:
    """No pair without two signatures has a second session."""
    sessions = Counter(
        db.scalars(select(MentoringSession.pairing_id).where(MentoringSession.state != "cancelled"))
    )
    signed = set(db.scalars(select(Agreement.pairing_id).where(Agreement.state == "signed")))
    assert {pairing for pairing, count in sessions.items() if count > 1} <= signed
    assert sessions.total() > 10
    for agreement in db.scalars(select(Agreement).where(Agreement.state == "signed")):
        assert agreement.mentor_signed_at
        assert agreement.mentee_signed_at


def _check_ledger(db) -> None:
    """Each confirmed session is awarded to both, for the minutes that both said."""
    claims: dict = {}
    for claim in db.scalars(select(SessionClaim)):
        claims.setdefault(claim.session_id, []).append(claim.minutes)
    confirmed = db.scalars(select(MentoringSession).where(MentoringSession.state == "confirmed")).all()
    entries = db.scalars(select(CreditEntry)).all()
    assert Counter(entry.session_id for entry in entries) == {session.id: 2 for session in confirmed}
    for entry in entries:
        assert entry.minutes <= min(claims[entry.session_id])
    for completion in db.scalars(select(Completion)):
        own = [entry for entry in entries if entry.person_id == completion.person_id]
        assert completion.minutes == sum(entry.minutes for entry in own)
        assert sum(entry.amount_hundredths for entry in own) == hours_in_hundredths(completion.minutes)


def _check_events(db, now) -> None:
    """Everything took effect, and nothing lies after today."""
    states = Counter(db.scalars(select(OutboxEvent.state)))
    assert set(states) == {"done"}
    for moment in (OutboxEvent.created_at, Checkin.answered_at, Pairing.started_at, Closure.created_at):
        newest = db.scalar(select(func.max(moment)))
        assert newest is None or newest <= now


def _check_states(db, programme_id) -> None:
    pairs = Counter(db.scalars(select(Pairing.state)))
    assert pairs["active"] >= 5
    assert pairs["suspended"] >= 1
    assert pairs["ended"] >= 2
    assert set(db.scalars(select(AimRating.moment))) >= {"start", "mid"}
    assert "nominated" in set(db.scalars(select(Enrolment.source)))
    signed_up = Counter(db.scalars(select(Enrolment.state)))
    assert {"submitted", "declined", "invited"} <= set(signed_up)
    assert db.get_one(Programme, programme_id).state == "running"
    states = Counter(db.scalars(select(MentoringSession.state)))
    assert states["confirmed"] > states["cancelled"] > 0
    assert states["scheduled"] > 0


def test_temper_when_many_pairs_are_asked_fails_two_in_ten(runtime, clock):
    stage = Stage(Clock(clock.now), runtime.database.secrets, 7)
    tempers = [temper_of(stage, number) for number in range(200)]
    assert sum(temper.fate is not None for temper in tempers) == 200 * len(FAILING) // TEN == 40
    assert {temper.fate for temper in tempers} == {None, "fit", "time", "expertise"}


def test_workday_when_it_is_night_or_weekend_gives_working_hours_of_a_weekday(clock):
    for hours in range(24 * 14):
        moment = workday(clock.now + timedelta(hours=hours))
        assert moment.weekday() < 5
        assert 7 <= moment.hour < 18

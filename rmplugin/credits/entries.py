"""The ledger: what stands in it is what the evidence gives, in whatever order sessions are confirmed.

A person's sessions are counted in the order in which they took place. When an earlier one is confirmed late
and takes up a cap, a later award is taken back and made anew; a line that was counted by other rules stays.
"""

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import Row, or_, select

from rmplugin.credits import events
from rmplugin.credits.models import CreditEntry, CreditReason
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.jobs import enqueue
from rmplugin.matching.models import Pairing
from rmplugin.people.models import Person
from rmplugin.people.queries import zone_of
from rmplugin.policies import (
    PREPARATION,
    Award,
    Caps,
    CreditPolicy,
    Earned,
    History,
    Role,
    SessionFacts,
    day_in,
    hours_in_hundredths,
    numbers_of,
)
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession, SessionClaim
from rmplugin.texts import Text

WORKER = "worker"
COUNTED_ANEW = Text("It is counted anew, because another session takes up a part of what counts at most.")
CORRECTED = Text("The length of the session was corrected.")
NOT_AGREED = Text("The two of you gave different lengths; it counts again when you agree.")


@dataclass
class Case:
    """A session of a person, and what the ledger says of it.

    :ivar minutes: the lower claim, before any rule.
    :ivar evidence: digest of who confirmed what when, as it is today.
    :ivar day: on which it began, where the person is.
    :ivar standing: the awards that were not taken back, one per unit.
    :ivar tail: unit -> the reversal that the next award follows.
    """

    session: MentoringSession
    pairing: Pairing
    programme: Programme
    role: Role
    minutes: int
    evidence: str
    day: date
    standing: list[CreditEntry] = field(default_factory=list)
    tail: dict[str, CreditEntry] = field(default_factory=dict)

    @property
    def is_evident(self) -> bool:
        """Tell whether it counts: confirmed, and not taken back by a manager who knew this evidence."""
        return self.session.state == "confirmed" and not any(
            one.created_by != WORKER and one.evidence_sha256 == self.evidence for one in self.tail.values()
        )

    @property
    def is_fresh(self) -> bool:
        """Tell whether what stands was awarded for today's evidence; lines that kept no rules are of old."""
        return all(not one.rules or one.evidence_sha256 == self.evidence for one in self.standing)

    @property
    def facts(self) -> SessionFacts:
        """Give what a policy is told."""
        return SessionFacts(str(self.session.id), self.session.starts_at, self.minutes, self.day)


def caps_of(programme: Programme) -> Caps:
    """Give a programme's limits. **Touches** pure."""
    return Caps(
        per_day=programme.day_cap,
        per_programme=programme.programme_cap,
        per_year=programme.year_cap,
        preparation_percent=programme.preparation_percent,
    )


def rules_of(caps: Caps, zone: str) -> dict[str, Any]:
    """Give the rules that are kept with a line: who moves keeps what was counted before. **Touches** pure."""
    return {**numbers_of(caps), "zone": zone}


def policy_of(policies: Mapping[str, CreditPolicy], programme: Programme) -> CreditPolicy:
    """Give the policy that a programme counts by.

    :raises ConflictError: no plug-in brings it any more.
    **Touches** pure.
    """
    policy = policies.get(programme.policy)
    if policy is None:
        raise ConflictError(
            "policy_missing",
            Text(
                "The programme counts by the credit policy '%(key)s', which is not installed any more. "
                "Nothing was lost: your administrator can install it again.",
                key=programme.policy,
            ),
        )
    return policy


def convert(policies: Mapping[str, CreditPolicy], policy: str, unit: str, minutes: int) -> int:
    """Give a sum of minutes in hundredths of a unit.

    :param policy: key; of one that is not installed any more the hours are given.
    **Touches** pure.
    """
    known = policies.get(policy)
    return known.convert(minutes) if known and known.unit == unit else hours_in_hundredths(minutes)


def added(policies: Mapping[str, CreditPolicy], policy: str, unit: str, before: int, minutes: int) -> int:
    """Give what the policy makes of a sum of minutes with some more, less what it makes of it without.

    :return: hundredths of the unit.
    **Touches** pure.
    """
    return convert(policies, policy, unit, before + minutes) - convert(policies, policy, unit, before)


class Ledger:
    """The ledger of one person, locked until the transaction ends.

    :ivar written: lines that were written with it.
    """

    def __init__(
        self, db: Db, person_id: uuid.UUID, policies: Mapping[str, CreditPolicy], now: datetime
    ) -> None:
        self._db, self._person_id, self._policies, self._now = db, person_id, policies, now
        # Whoever writes lines of a person waits here for others who do.
        db.execute(select(Person.id).where(Person.id == person_id).with_for_update(key_share=True))
        self._zone = zone_of(db, person_id)
        query = select(CreditEntry).where(CreditEntry.person_id == person_id)
        self._lines = list(db.scalars(query.order_by(CreditEntry.created_at, CreditEntry.id)))
        self._sums: dict[tuple[uuid.UUID, str], int] = defaultdict(int)
        for line in self._lines:
            self._sums[line.programme_id, line.unit] += line.minutes
        self.written: list[CreditEntry] = []

    def standing(self, session_id: uuid.UUID | None) -> list[CreditEntry]:
        """Give the awards of a session that were not taken back, one per unit. **Touches** nothing."""
        taken = {line.reverses_id for line in self._lines}
        of_session = (line for line in self._lines if line.session_id == session_id)
        return [line for line in of_session if line.kind == "award" and line.id not in taken]

    def settle(self) -> None:
        """Write what is missing, and take back what the evidence does not give.

        :raises ConflictError: see `policy_of`.
        **Touches** reads mentoring_session, session_claim, pairing, programme; writes credit_entry,
        outbox_event.
        """
        cases = self._cases()
        stays = {case.session.id for case in cases if self._stays(case)}
        earned = [
            (case.programme.id, Earned(case.facts, _contact(case.standing)))
            for case in cases
            if case.session.id in stays
        ]
        for case in cases:
            if case.session.id in stays:
                continue
            awards = self._awards(case, earned) if case.is_evident else []
            earned.append((case.programme.id, Earned(case.facts, _contact(awards))))
            self._replace(case, awards)
        self._db.flush()

    def _cases(self) -> list[Case]:
        """Gather the sessions that are confirmed or have lines, in the order in which they took place."""
        known = {line.session_id for line in self._lines if line.session_id is not None}
        mine = or_(Pairing.mentor_id == self._person_id, Pairing.mentee_id == self._person_id)
        query = (
            select(MentoringSession, Pairing, Programme)
            .join(Pairing, Pairing.id == MentoringSession.pairing_id)
            .join(Programme, Programme.id == Pairing.programme_id)
            .where(mine, or_(MentoringSession.state == "confirmed", MentoringSession.id.in_(known)))
            .order_by(MentoringSession.starts_at, MentoringSession.id)
        )
        rows = self._db.execute(query).all()
        claims = self._claims([session.id for session, _pairing, _programme in rows])
        cases = {}
        for session, pairing, programme in rows:
            said = claims[session.id]
            role = cast("Role", pairing.role_of(self._person_id))
            minutes = min((one.minutes for one in said), default=session.counted_minutes or 0)
            evidence = digest(evidence_of(session, said, self._person_id, role))
            day = day_in(self._zone, session.starts_at)
            cases[session.id] = Case(session, pairing, programme, role, minutes, evidence, day)
        self._sort_lines(cases)
        return list(cases.values())

    def _claims(self, session_ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, list[SessionClaim]]:
        claims: dict[uuid.UUID, list[SessionClaim]] = defaultdict(list)
        query = select(SessionClaim).where(SessionClaim.session_id.in_(session_ids))
        for claim in self._db.scalars(query):
            claims[claim.session_id].append(claim)
        return claims

    def _sort_lines(self, cases: Mapping[uuid.UUID, Case]) -> None:
        taken = {line.reverses_id for line in self._lines}
        followed = {line.follows_id for line in self._lines}
        # What nothing follows comes last: by the time alone it would not, once the clock was set back.
        for line in sorted(self._lines, key=lambda line: line.id not in followed):
            case = cases.get(line.session_id) if line.session_id is not None else None
            if case is not None and line.kind == "reversal":
                case.tail[line.unit] = line
            elif case is not None and line.id not in taken:
                case.standing.append(line)

    def _stays(self, case: Case) -> bool:
        """Tell whether a session was counted by other rules than today's, which is not done over."""
        if not (case.standing and case.is_evident and case.is_fresh):
            return False
        today = self._rules(case.programme)
        return any((one.policy, one.policy_version, one.rules) != today for one in case.standing)

    def _rules(self, programme: Programme) -> tuple[str, int, dict[str, Any]]:
        policy = policy_of(self._policies, programme)
        return policy.key, policy.version, rules_of(caps_of(programme), self._zone)

    def _awards(self, case: Case, earned: Sequence[tuple[uuid.UUID, Earned]]) -> Sequence[Award]:
        before = [
            Earned(one.session, one.minutes, here=programme_id == case.programme.id)
            for programme_id, one in earned
        ]
        policy = policy_of(self._policies, case.programme)
        return policy.award(case.facts, case.role, History(earned=before), caps_of(case.programme))

    def _replace(self, case: Case, awards: Sequence[Award]) -> None:
        """Make the lines of a session say what it earns."""
        policy = self._policies.get(case.programme.policy)
        wanted = {one.unit or (policy.unit if policy else ""): one for one in awards}
        there = {line.unit: (line.minutes, line.cap_applied) for line in case.standing}
        if case.is_fresh and there == {unit: (one.minutes, one.cap_applied) for unit, one in wanted.items()}:
            return
        counts = any(line.minutes for line in case.standing) or any(one.minutes for one in awards)
        if case.is_fresh and case.standing and not counts:
            # Another limit says no to the same nothing.
            return
        for line in case.standing:
            case.tail[line.unit] = self.reverse(line, WORKER, reason=_why_reversed(case))
        for unit, one in wanted.items():
            self._award(case, unit, one)

    def reverse(
        self, award: CreditEntry, actor: str, *, reason: Text | None = None, words: str = ""
    ) -> CreditEntry:
        """Take an award back.

        :param award: a standing one of this person.
        :param actor: see `audit.AuditEntry`.
        :param reason: the tool's own; `words`: what a manager wrote.
        **Touches** writes credit_entry, credit_reason, outbox_event.
        """
        return self._write(
            _like(award),
            kind="reversal",
            minutes=-award.minutes,
            rules=award.rules,
            reverses_id=award.id,
            reason=reason,
            words=words,
            evidence_sha256=award.evidence_sha256,
            created_by=actor,
        )

    def adjust(self, programme: Programme, role: str, minutes: int, actor: str, words: str) -> CreditEntry:
        """Add minutes to a programme, or take some off where they are negative.

        :param words: why.

        :raises ConflictError: see `policy_of`.
        **Touches** writes credit_entry, credit_reason, outbox_event.
        """
        policy, version, rules = self._rules(programme)
        said = {"programme": str(programme.id), "person": str(self._person_id), "minutes": minutes}
        return self._write(
            {"role": role, "programme_id": programme.id, "pairing_id": None, "session_id": None}
            | {"unit": self._policies[policy].unit, "policy": policy, "policy_version": version},
            kind="adjustment",
            minutes=minutes,
            rules=rules,
            words=words,
            evidence_sha256=digest(said | {"by": actor, "at": self._now.isoformat()}),
            created_by=actor,
        )

    def _award(self, case: Case, unit: str, award: Award) -> None:
        policy, version, rules = self._rules(case.programme)
        tail = case.tail.get(unit)
        self._write(
            {"role": case.role, "programme_id": case.programme.id, "pairing_id": case.pairing.id}
            | {"session_id": case.session.id, "unit": unit, "policy": policy, "policy_version": version},
            kind="award",
            minutes=award.minutes,
            uncapped=award.uncapped_minutes,
            cap_applied=award.cap_applied,
            rules=rules,
            follows_id=tail.id if tail else None,
            evidence_sha256=case.evidence,
            created_by=WORKER,
        )

    def _write(
        self,
        place: Mapping[str, Any],
        *,
        minutes: int,
        uncapped: int | None = None,
        words: str = "",
        **more: Any,
    ) -> CreditEntry:
        """Write a line. It adds what the policy makes of the sum with it, less what it made before."""
        unit, before = place["unit"], self._sums[place["programme_id"], place["unit"]]
        line = CreditEntry(
            person_id=self._person_id,
            minutes=minutes,
            amount_hundredths=added(self._policies, place["policy"], unit, before, minutes),
            uncapped_hundredths=added(
                self._policies, place["policy"], unit, before, minutes if uncapped is None else uncapped
            ),
            created_at=self._now,
            **place,
            **more,
        )
        self._db.add(line)
        # One after the other, so that their ids stand in the order in which they follow each other.
        self._db.flush()
        if words:
            self._db.add(CreditReason(entry_id=line.id, words=words))
        self._sums[place["programme_id"], unit] = before + minutes
        self._lines.append(line)
        self.written.append(line)
        events.tell_entry(self._db, line, self._now)
        person = str(self._person_id)
        enqueue(
            self._db, "credit_awarded", self._now, entry_id=str(line.id), person_id=person, minutes=minutes
        )
        return line


def evidence_of(
    session: MentoringSession | Row[*tuple[Any, ...]],
    claims: Sequence[SessionClaim | Row[*tuple[Any, ...]]],
    person_id: uuid.UUID,
    role: str,
) -> dict[str, Any]:
    """Make the canonical record of who confirmed what when; nothing of what was said is in it.

    :param session, claims: or rows with the columns that are named here.
    **Touches** pure.
    """
    return {
        "session": str(session.id),
        "pairing": str(session.pairing_id),
        "kind": session.kind,
        "starts_at": session.starts_at.isoformat(),
        "confirmed_at": session.confirmed_at.isoformat() if session.confirmed_at else None,
        "attested_at": session.attested_at.isoformat() if session.attested_at else None,
        "claims": sorted([str(c.person_id), c.minutes, c.claimed_at.isoformat()] for c in claims),
        "person": str(person_id),
        "role": role,
    }


def _contact(awards: Sequence[CreditEntry | Award]) -> int:
    return sum(one.minutes for one in awards if one.unit != PREPARATION)


def _like(award: CreditEntry) -> dict[str, Any]:
    names = ("role", "programme_id", "pairing_id", "session_id", "unit", "policy", "policy_version")
    return {name: getattr(award, name) for name in names}


def _why_reversed(case: Case) -> Text:
    if case.session.state != "confirmed":
        return NOT_AGREED
    return COUNTED_ANEW if case.is_fresh else CORRECTED


def digest(evidence: Mapping[str, Any]) -> str:
    """Give the SHA-256 of the canonical form of a record: sorted names, no blanks, UTF-8.

    **Touches** pure.
    """
    canonical = json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

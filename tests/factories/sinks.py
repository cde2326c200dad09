"""A system that takes lines of the ledger, as a plug-in could bring it, and a ledger to tell it of."""

from __future__ import annotations

import marshmallow as ma
from sqlalchemy import select

from rmplugin.api import CheckResult, SinkAnswer, hookimpl
from rmplugin.credits import events
from rmplugin.credits.models import CreditEntry
from rmplugin.destinations.operations import add_account
from rmplugin.sinks import CreditSink

KINDS = ("award", "reversal", "adjustment", "completion", "withdrawal")


class RecordStoreSettings(ma.Schema):
    url = ma.fields.String(required=True)
    token = ma.fields.String(load_default=None, validate=ma.validate.Length(min=1), metadata={"secret": True})


class RecordStore:
    """A store of records that keeps one per id, and notes every call.

    :ivar records: id -> record, as it came first; `calls`: the ids of each call.
    :ivar fail: called with the records of a call before anything is kept; may raise or give answers.
    """

    settings_schema = RecordStoreSettings

    def __init__(self, key="records", *, takes=KINDS, corrects=True, batch=10, calls_per_minute=None) -> None:
        self.key, self.title = key, key.title()
        self.takes, self.corrects = frozenset(takes), corrects
        self.batch, self.calls_per_minute = batch, calls_per_minute
        self.records, self.calls, self.settings = {}, [], []
        self.fail = None

    def check(self, settings):
        ok = settings["token"] == "right"
        return [CheckResult(what="token", ok=ok, advice="" if ok else "Set the right token.")]

    def deliver(self, settings, records, now):  # noqa: ARG002 - names of the protocol.
        self.calls.append([record.id for record in records])
        self.settings.append(settings)
        answers = self.fail(records) if self.fail else None
        if answers is not None:
            return answers
        for record in records:
            self.records.setdefault(record.id, record)
        return [SinkAnswer(outcome="delivered", status=200, remote_ref=f"r-{r.id}") for r in records]

    @hookimpl
    def rm_register_completion_sinks(self):
        return [self]

    @property
    def standing(self):
        """Give what counts there: records that nothing took back, without those that take back."""
        gone = {record.reverses for record in self.records.values()}
        return {
            key: record for key, record in self.records.items() if key not in gone and record.reverses is None
        }


assert isinstance(RecordStore(), CreditSink)


def connect(runtime, tenant, sink, name="lrs", settings=None, **fields):
    """Connect an account of a sink."""
    settings = settings or {"url": "https://lrs.example", "token": "right"}
    with runtime.database.transaction(tenant.id) as db:
        return add_account(db, name, sink, settings, runtime.database.secrets, runtime.clock(), **fields)


def reverse(db, entry, now):
    """Write the reversal of a line, with what the accounts are told of it."""
    fields = {
        name: getattr(entry, name)
        for name in ("person_id", "role", "programme_id", "pairing_id", "session_id", "unit", "policy")
    }
    reversal = CreditEntry(
        **fields,
        minutes=-entry.minutes,
        amount_hundredths=-entry.amount_hundredths,
        uncapped_hundredths=-entry.uncapped_hundredths,
        policy_version=entry.policy_version,
        kind="reversal",
        reverses_id=entry.id,
        reason="dispute",
        evidence_sha256=entry.evidence_sha256,
        created_at=now,
        created_by="test",
    )
    db.add(reversal)
    db.flush()
    events.tell_entry(db, reversal, now)
    return reversal


def entries_of(db, person_id=None):
    query = select(CreditEntry).order_by(CreditEntry.created_at, CreditEntry.id)
    return db.scalars(query.where(CreditEntry.person_id == person_id) if person_id else query).all()

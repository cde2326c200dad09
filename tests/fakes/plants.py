"""Faults that are planted into workers, so that the schedules show that they would find them.

Each takes a `pytest.MonkeyPatch`, plants one fault, and says in its name what is wrong then.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rmplugin.credits import claims, events, store
from rmplugin.credits.claims import Held
from rmplugin.credits.models import Delivery
from rmplugin.destinations import store as doors
from rmplugin.sinks import SinkAnswer

PLANTS = {}


def plant(function):
    PLANTS[function.__name__] = function
    return function


@plant
def claims_without_a_look_at_leases(patch):
    patch.setattr(claims, "_is_out", lambda _row, _now: False)


@plant
def a_late_answer_counts_for_a_newer_try(patch):
    record = Held._record

    def wrong(self, claim, answer):
        row = self._find(claim.due)
        if row is None or row.sent_timestamp is None:
            return record(self, claim, answer)
        row.state = "in_flight"
        late = replace(claim, record=replace(claim.record, sent_at=row.sent_timestamp))
        return record(self, late, answer)

    patch.setattr(Held, "_record", wrong)


@plant
def an_answer_counts_for_any_try_in_flight(patch):
    record = Held._record

    def wrong(self, claim, answer):
        row = self._find(claim.due)
        sent_at = row.sent_timestamp if row is not None else None
        late = replace(claim, record=replace(claim.record, sent_at=sent_at or claim.record.sent_at))
        return record(self, late, answer)

    patch.setattr(Held, "_record", wrong)


@plant
def a_claim_is_not_marked(patch):
    take = Held._take

    def wrong(self, due, row, *others):
        before = row.state
        claim = take(self, due, row, *others)
        row.state, row.lease_until = before if before != "in_flight" else "pending", None
        return claim

    record = Held._record

    def and_recorded(self, claim, answer):
        row = self._find(claim.due)
        if row is not None and row.state in ("pending", "retry"):
            row.state = "in_flight"
        return record(self, claim, answer)

    patch.setattr(Held, "_take", wrong)
    patch.setattr(Held, "_record", and_recorded)


@plant
def a_delivery_is_done_before_the_call(patch):
    take, record = Held._take, Held._record

    def wrong(self, due, row, *others):
        claim = take(self, due, row, *others)
        row.state, row.lease_until = "delivered", None
        return claim

    def and_recorded(self, claim, answer):
        row = self._find(claim.due)
        if row is not None and row.state == "delivered":
            row.state = "in_flight"
        return record(self, claim, answer)

    patch.setattr(Held, "_take", wrong)
    patch.setattr(Held, "_record", and_recorded)


@plant
def a_lost_answer_is_taken_for_success(patch):
    apply = store.apply_answer

    def wrong(row, answer, now):
        lost = answer.outcome == "retry" and answer.status is None
        apply(row, SinkAnswer(outcome="delivered") if lost else answer, now)

    patch.setattr(claims, "apply_answer", wrong)


@plant
def a_failure_is_not_tried_again(patch):
    apply = store.apply_answer

    def wrong(row, answer, now):
        apply(row, answer, now)
        if row.state == "retry":
            row.state = "superseded"

    patch.setattr(store, "apply_answer", wrong)
    patch.setattr(claims, "apply_answer", wrong)


@plant
def coalescing_drops_the_newest(patch):
    about = Held._about
    patch.setattr(Held, "_about", lambda self, due: about(self, due)[::-1])


@plant
def an_asked_pause_is_not_kept(patch):
    for module in (doors, store):
        patch.setattr(module, "asked_wait", lambda _seconds: timedelta(seconds=1))


@plant
def a_brake_never_opens(patch):
    note = doors.note_answer

    def wrong(db, brakes, door, answer, now):
        if doors.has_failed(answer):
            note(db, brakes, door, answer, now)

    patch.setattr(claims, "note_answer", wrong)
    patch.setattr(doors, "note_answer", wrong)


@plant
def a_brake_keeps_even_the_trial_away(patch):
    def wrong(brake, now, lease):
        return brake is None or brake.failures < doors.PATIENCE

    patch.setattr(claims, "may_call", wrong)
    patch.setattr(doors, "may_call", wrong)


@plant
def a_reversal_is_not_sent(patch):
    take = events._take_due

    def wrong(db, account, sink, now):
        rows = take(db, account, sink, now)
        for row in rows:
            if row.payload["kind"] == "reversal":
                row.state = "superseded"
        return [row for row in rows if row.state != "superseded"]

    patch.setattr(events, "_take_due", wrong)


@plant
def a_reversal_goes_before_its_award(patch):
    patch.setattr(events, "is_next", lambda now: Delivery.account_id.is_not(None) & store.is_due(now))


@plant
def two_batches_of_an_account_go_at_once(patch):
    patch.setattr(events, "_is_in_flight", lambda _db, _account, _now: False)


@plant
def a_late_answer_counts_for_a_newer_try_of_a_batch(patch):
    record = events.record_answers

    def wrong(db, batch, answers, now):
        rows = [events._lock(db, row_id) for row_id, _sent_at in batch.tries]
        tries = [(row.id, row.sent_timestamp) for row in rows if row is not None]
        return record(db, replace(batch, tries=tries), answers, now)

    patch.setattr(events, "record_answers", wrong)


@plant
def a_batch_is_not_marked(patch):
    claim, record = events.claim_batch, events.record_answers

    def wrong(db, *others):
        batch = claim(db, *others)
        for row_id, _sent_at in batch.tries if batch is not None else ():
            db.get(Delivery, row_id).state = "pending"
        return batch

    def and_recorded(db, batch, answers, now):
        for row_id, _sent_at in batch.tries:
            row = events._lock(db, row_id)
            row.state = "in_flight" if row.state == "pending" else row.state
        db.flush()
        return record(db, batch, answers, now)

    patch.setattr(events, "claim_batch", wrong)
    patch.setattr(events, "record_answers", and_recorded)


@plant
def ids_of_events_are_by_chance(patch):
    patch.setattr(events, "_id_of", lambda *_: store.uuid.uuid4())


@plant
def leases_do_not_end(patch):
    patch.setattr(claims, "LEASE", timedelta(days=9))
    patch.setattr(events, "LEASE", timedelta(days=9))


@plant
def leases_end_at_once(patch):
    patch.setattr(events, "LEASE", timedelta(0))
    patch.setattr(claims, "LEASE", timedelta(0))

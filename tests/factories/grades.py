"""A course whose gradebook is compared with what it was told."""

from __future__ import annotations

import uuid
from collections import Counter

from lti.ags import SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ, SCOPE_RESULT
from rmplugin.credits import reconciling, tasks
from rmplugin.jobs import work_outbox
from rmplugin.programmes.models import Programme
from rmplugin.programmes.operations import change_state
from rmplugin.tenants.models import LtiResourceLink
from tests.factories.credits import confirm_session, join_course, make_course, make_pair


class Scene:
    """Pairs whose programme runs in a course of the LMS; everybody's first grade (25) has arrived."""

    def __init__(self, runtime, tenant, clock, lms, *, family="moodle", pairs=1) -> None:
        self.runtime, self.tenant, self.clock, self.lms = runtime, tenant, clock, lms
        with self.db() as db:
            self.course = make_course(db, clock.now, lms.base, lms.line_item_url, family=family)
            db.get(LtiResourceLink, self.course.link.id).scopes = [
                *self.course.link.scopes, SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ, SCOPE_RESULT
            ]  # fmt: skip
        self.pairs, self.subs = [], {}
        self.programme = None
        for _ in range(pairs):
            self.add_pair()
        self.work()

    def add_pair(self):
        with self.db() as db:
            fields = {"context_id": self.course.context.id, "min_sessions": 4, "min_minutes": 240}
            pair = make_pair(db, self.clock.now, self.programme, **({} if self.programme else fields))
            self.programme = pair.programme
            for person in (pair.mentor, pair.mentee):
                sub = self.subs[person.id] = f"u-{uuid.uuid4().hex[:8]}"
                self.lms.enrol(sub)
                join_course(db, self.course, person, sub, self.clock.now)
            confirm_session(db, pair, self.clock.now)
        self.pairs.append(pair)
        return pair

    def db(self):
        return self.runtime.database.transaction(self.tenant.id)

    def work(self):
        work_outbox(self.runtime)
        done = tasks.deliver_due(self.runtime)
        self.clock.forward(minutes=10)
        return done

    def confirm(self, pair=None):
        with self.db() as db:
            confirm_session(db, pair or self.pairs[0], self.clock.now)

    def end(self, pair):
        """Let a programme be over."""
        with self.db() as db:
            programme = db.get_one(Programme, pair.programme.id)
            for state in ("concluding", "archived"):
                change_state(db, programme, state, "command", self.clock.now)

    def compare(self, **options):
        document = reconciling.compare_platform(
            self.runtime, self.tenant.id, self.course.platform.id, **options
        )
        self.clock.forward(minutes=10)
        return document

    def show(self, person, score, at=None):
        """Let the gradebook show something else: see `AgsPlatform.show`."""
        self.lms.show(self.subs[person.id], score, at or self.clock.now)

    def grade(self, person):
        return self.lms.grades.get(self.subs[person.id])


def kinds(document):
    return Counter((one["kind"], one["repaired"]) for one in document["differences"])


def counts(document):
    return {name: n for name, n in document["people"].items() if n}

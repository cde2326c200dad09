"""The policy of docs/credits.md, registered as a third party would, counts a programme from end to end."""

import re
import types
from datetime import timedelta

import pytest
from sqlalchemy import select

from rmplugin.credits.models import CreditEntry
from rmplugin.credits.words import why_capped
from rmplugin.jobs import work_outbox
from rmplugin.wiring import make_runtime
from tests.factories.credits import confirm_session, make_pair
from tests.rules.source import ROOT


@pytest.fixture
def academy(runtime, clock):
    """Give a runtime with the document's plug-in in it."""
    document = (ROOT / "docs/credits.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    module = types.ModuleType("acme_points")
    exec(block, vars(module))
    made = make_runtime(runtime.settings, plugins=[module], clock=clock)
    yield made
    made.database.close()


def test_policy_when_documented_counts_sessions_and_says_what_it_left_out(academy, tenant, clock):
    with academy.database.transaction(tenant.id) as db:
        pair = make_pair(db, clock.now, policy="learning_points")
        moments = [clock.now + timedelta(hours=3 * number) for number in range(5)]
        for moment in moments:
            confirm_session(db, pair, moment, 60)
    work_outbox(academy)
    with academy.database.transaction(tenant.id, write=False) as db:
        query = select(CreditEntry).where(CreditEntry.person_id == pair.mentee.id)
        lines = db.scalars(query.order_by(CreditEntry.id)).all()
    assert [line.minutes for line in lines] == [60, 60, 60, 0, 0]
    # 180 minutes are four points, whatever each line had to round.
    assert [line.amount_hundredths for line in lines] == [100, 100, 200, 0, 0]
    assert {(line.policy, line.unit) for line in lines} == {("learning_points", "learning_points")}
    assert why_capped(lines[3].cap_applied) == "Three sessions a month count."

"""What two people write down after a session: notes, a takeaway, what they take on and what became of it."""

import random
import uuid
from datetime import timedelta

from rmplugin.demo.months_play import Stage
from rmplugin.demo.months_words import ITEMS, NOTES, OUTCOMES, TAKEAWAYS
from rmplugin.matching.models import Pairing
from rmplugin.notes import operations as notes
from rmplugin.notes.forms import DROP_REASONS
from rmplugin.notes.models import ActionItem

DUE_IN = timedelta(days=14)


def write_after(stage: Stage, pairing: Pairing, session_id: uuid.UUID, chance: random.Random) -> None:
    """Let both write about a session that both confirmed, and see to what they took on before.

    **Touches** what the operations touch.
    """
    for person in (pairing.mentor_id, pairing.mentee_id):
        about = (stage.db, stage.secrets, pairing, session_id, person)
        if chance.random() < 0.35:
            values = {"body": chance.choice(NOTES), "is_shared": chance.random() < 0.6}
            notes.write_note(*about, values, stage.now)
        if chance.random() < 0.5:
            line = {"takeaway": chance.choice(TAKEAWAYS), "share_takeaway": chance.random() < 0.5}
            notes.keep_takeaway(*about, line, stage.now)
        _see_to_items(stage, pairing, person, chance)
        if chance.random() < 0.35:
            item = {"text": chance.choice(ITEMS), "due_on": (stage.now + DUE_IN).date()}
            notes.take_on(*about, item, stage.now)


def _see_to_items(stage: Stage, pairing: Pairing, person: uuid.UUID, chance: random.Random) -> None:
    query = stage.db.query(ActionItem).filter_by(pairing_id=pairing.id, owner_id=person, state="open")
    for item in query.order_by(ActionItem.id).all():
        what = chance.random()
        if what < 0.65:
            notes.finish(stage.db, stage.secrets, item, person, chance.choice(OUTCOMES), stage.now)
        elif what < 0.75:
            notes.drop(stage.db, item, person, chance.choice([*DROP_REASONS]), stage.now)

"""The page of a pair's messages."""

from uuid import UUID

from rmplugin import web
from rmplugin.matching.models import LIVE
from rmplugin.matching.queries import get_pairing_of
from rmplugin.messages import operations, queries
from rmplugin.messages.forms import LONGEST, MessageForm, PageQuery
from rmplugin.people.queries import display_names, zone_of
from rmplugin.web import Role, Visit

pages = web.Pages("messages", __name__)


@pages.get("/pairings/<uuid:pairing_id>/messages", role=Role.PARTICIPANT)
def thread(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the thread, newest messages first; what is shown counts as read."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    page = web.load_query(PageQuery())["page"]
    messages, most = queries.page_of_thread(visit.db, pairing_id, page)
    read_at = queries.read_until(visit.db, pairing_id, visit.person_id)
    if page == 1 and messages and (read_at is None or messages[0].created_at > read_at):
        newest = messages[0].created_at
        visit.afterwards.append(
            lambda db: operations.mark_read(db, pairing_id, visit.person_id, newest, visit.now)
        )
    unlock = visit.runtime.database.secrets.unlock
    return web.render(
        "messages/thread.html",
        visit,
        pairing=pairing,
        is_over=pairing.state not in LIVE,
        messages=messages,
        words={message.id: unlock(message.body_locked) for message in messages if message.body_locked},
        fresh={
            message.id
            for message in messages
            if message.author_id != visit.person_id and (read_at is None or message.created_at > read_at)
        },
        page=page,
        pages=most,
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        partner_id=pairing.partner_of(visit.person_id),
        zone=zone_of(visit.db, visit.person_id),
        remove_since=visit.now - operations.REMOVE_WITHIN,
        longest=LONGEST,
    )


@pages.post("/pairings/<uuid:pairing_id>/messages", role=Role.PARTICIPANT, on_input_error=thread)
def write(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Write a message."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    body = web.load_form(MessageForm())["body"]
    operations.write(visit.db, visit.runtime.database.secrets, pairing, visit.person_id, body, visit.now)
    return web.go("messages.thread", said="Your message is sent.", pairing_id=pairing_id)


@pages.post("/messages/<uuid:message_id>/remove", role=Role.PARTICIPANT)
def remove(visit: Visit, message_id: UUID) -> web.Answer:
    """Remove a message of one's own."""
    message = queries.get_own_message(visit.db, message_id, visit.person_id)
    operations.remove(visit.db, message, visit.person_id, visit.now)
    return web.go("messages.thread", said="The message is removed.", pairing_id=message.pairing_id)

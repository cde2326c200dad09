"""What is asked for when somebody wants help, and of whoever helps."""

import marshmallow as ma

from rmplugin.fields import choice, words
from rmplugin.texts import texts

STATES = texts(
    {
        "open": "sent",
        "triaged": "read",
        "acting": "being worked on",
        "closed": "closed",
    }
)


class HelpForm(ma.Schema):
    """A request for help."""

    contact = ma.fields.UUID(
        required=True,
        error_messages={
            "required": "Please choose whom you want to ask.",
            "invalid_uuid": "Please choose whom you want to ask.",
        },
    )
    words = words(4000)
    nameless = ma.fields.Boolean(load_default=False, truthy={"yes"}, falsy={"no"})


class StateForm(ma.Schema):
    """How far a request is."""

    state = choice(tuple(STATES), "Please choose one of these.")


class ContactForm(ma.Schema):
    """Whom to name as a contact: an employee number or a work address."""

    who = words(200)

"""What is asked after the first call, and again after the second session."""

import marshmallow as ma

from rmplugin.fields import choice
from rmplugin.texts import texts

ANSWERS = texts(
    {
        "yes": "Yes, I want to go on.",
        "unsure": "I am not sure yet. Let us go on for now, and ask me again after our second session.",
        "no": "No, this is not the right match for me.",
    }
)
# Whoever was unsure decides after the second session.
AGAIN = {code: text for code, text in ANSWERS.items() if code != "unsure"}


class IntroForm(ma.Schema):
    """One person's answer."""

    answer = choice(tuple(ANSWERS), "Please choose one of these.")

"""What is asked for in an agreement."""

import marshmallow as ma

from rmplugin.fields import choice, day, whole, words

MEDIA = ("video", "in_person", "phone", "mixed")


class AgreementForm(ma.Schema):
    """One version of an agreement, as it is typed."""

    cadence_weeks = whole(1, 12, "Please choose between every week and every 12 weeks.")
    session_minutes = whole(15, 240, "A session is 15 to 240 minutes long.")
    medium = choice(MEDIA, "Please choose how you meet.")
    place = words(200)
    hopes = words(2000)
    boundaries = words(2000)
    confidentiality = words(2000)
    feedback = words(2000)
    async_counts = ma.fields.Boolean(load_default=False)
    ends_on = day()


class DraftForm(AgreementForm):
    """One person's expectations that are kept for later: words may still be missing."""

    place = words(200, required=False)
    hopes = words(2000, required=False)
    boundaries = words(2000, required=False)
    confidentiality = words(2000, required=False)
    feedback = words(2000, required=False)

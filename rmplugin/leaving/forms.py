"""What people may say when a pairing ends."""

from collections.abc import Iterable

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from rmplugin.matching.forms import CLOSURE_REASONS, codes
from rmplugin.programmes.forms import LONGEST_PAUSE_WEEKS
from rmplugin.texts import Text, texts

MOST_REASONS = 3
THANKS_LENGTH = 600
NEXT_CHOICES = tuple(
    texts(
        {
            "rematch": "Find me another partner",
            "pause": "Pause for a few weeks",
            "leave": "Leave the programme",
        }
    ).items()
)


def _asked(words: str) -> dict[str, Iterable[object] | str]:
    return {"required": words, "null": words, "invalid": words}


class NextForm(ma.Schema):
    """What should happen next for somebody whose pairing has ended.

    `weeks` is how long a pause lasts; it says nothing for the other choices.
    """

    next_choice = ma.fields.Str(
        required=True,
        validate=OneOf(codes(NEXT_CHOICES), error="Choose what should happen next for you."),
        error_messages=_asked("Choose what should happen next for you."),  # type: ignore[arg-type]
    )
    weeks = ma.fields.Int(
        load_default=4,
        validate=Range(1, LONGEST_PAUSE_WEEKS, error="A pause lasts one to six weeks."),
        error_messages=_asked("A pause lasts one to six weeks."),  # type: ignore[arg-type]
    )


class EndForm(NextForm):
    """The end of a pairing; the reasons are optional."""

    reasons = ma.fields.List(
        ma.fields.Str(validate=OneOf(codes(CLOSURE_REASONS), error="Choose reasons from the list, or none.")),
        load_default=list,
        validate=Length(max=MOST_REASONS, error="Choose three reasons at most, or none."),
    )


class ThanksForm(ma.Schema):
    """A short thank-you."""

    text = ma.fields.Str(
        required=True,
        validate=Length(
            1, THANKS_LENGTH, error=Text("Please keep this to %(most)s characters.", most=THANKS_LENGTH)
        ),
        error_messages={"required": "Write a sentence or two, or leave it: nobody has to."},
    )


class KeepForm(ma.Schema):
    """Whether a thank-you goes into one's record."""

    keep = ma.fields.Bool(load_default=False)

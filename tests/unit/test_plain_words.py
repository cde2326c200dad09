"""Nobody reads marshmallow's own words: each of them has a sentence that says what is expected."""

import inspect

import marshmallow as ma
import pytest
from marshmallow import validate

from rmplugin.fields import plain_words
from rmplugin.texts import Text

BLANKS = {"min": 2, "max": 9, "equal": 3, "other": 4, "choices": "a, b", "values": "a", "input": "x"}
BLANKS |= {"obj_type": "date", "ip_type": "IPv4", "awareness": "aware", "labels": ""}
BLANKS |= {"min_op": "greater than or equal to", "max_op": "less than or equal to"}


def stock() -> set[str]:
    """Collect what marshmallow can say, from itself."""
    said = {"Unknown field.", "Invalid input type."}
    for _name, kind in inspect.getmembers(ma.fields, inspect.isclass):
        if issubclass(kind, ma.fields.Field):
            said |= set(getattr(kind, "default_error_messages", {}).values())
    for _name, kind in inspect.getmembers(validate, inspect.isclass):
        said |= {
            text
            for name, text in vars(kind).items()
            if isinstance(text, str)
            and name.startswith(("default_message", "message_"))
            and text[:1].isupper()
        }
    return {text.format(**BLANKS) for text in said if text}


def test_plain_words_when_marshmallow_speaks_say_what_is_expected():
    said = stock()
    assert "Shorter than minimum length 2." in said
    assert len(said) > 25
    assert [text for text in said if plain_words(text) == text] == []


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        (ma.fields.String(validate=validate.Length(min=1)), "", "This must not be empty; please fill it in."),
        (ma.fields.String(validate=validate.Length(1, 80)), "", "Its length must be between 1 and 80."),
        (ma.fields.Integer(validate=validate.Range(1, 9)), 0, "Please give a value between 1 and 9."),
        (ma.fields.Float(validate=validate.Range(0.5)), 0, "Please give 0.5 or more."),
        (ma.fields.Date(), "x", "Please give a date, such as 2027-05-31."),
        (ma.fields.String(required=True), None, "This is needed; please fill it in."),
    ],
)
def test_plain_words_when_a_field_refuses_say_what_to_do(field, value, told):
    with pytest.raises(ma.ValidationError) as error:
        field.deserialize(value)
    assert plain_words(error.value.messages[0]) == told


def test_plain_words_when_the_sentence_is_our_own_keep_it():
    own = Text("Please use at most %(most)s characters.", most=3)
    assert plain_words(own) is own
    assert plain_words("The address cannot be used.") == "The address cannot be used."

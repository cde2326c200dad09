"""The form that is made from a connector's schema: every kind of field there, and back."""

import marshmallow as ma
import pytest

from rmplugin.hris import forms
from rmplugin.hris.queries import wait_after
from tests.factories.hris import Staff

STORED = {
    "url": "https://hr.example",
    "leavers": False,
    "companies": ["A", "B"],
    "fields": {"name": "Full name"},
    "words": {"on.leave": "leave"},
}


def by_name(stored=None):
    return {field.name: field for field in forms.settings_form(Staff(), stored)}


def test_form_when_new_has_a_field_of_the_right_kind_for_each_setting():
    fields = by_name()
    assert {name: field.kind for name, field in fields.items()} == {
        "set_url": "text", "set_secret": "secret", "set_region": "choice", "set_page_size": "number",
        "set_leavers": "choice", "set_private_key": "secret", "set_companies": "list", "set_fields": "lines",
        "set_words": "lines",
    }  # fmt: skip
    assert (fields["set_url"].required, fields["set_url"].help) == (True, "address of the HR system")
    assert fields["set_region"].options == [("eu", "eu"), ("us", "us")]
    assert (fields["set_region"].value, fields["set_page_size"].value) == ("eu", "100")
    assert (fields["set_leavers"].value, fields["set_leavers"].options[0]) == ("true", ("true", "yes"))


def test_form_when_stored_shows_the_values_and_asks_for_no_secret():
    fields = by_name(STORED)
    assert fields["set_leavers"].value == "false"
    assert fields["set_companies"].value == "A\nB"
    assert fields["set_fields"].value == "name = Full name"
    assert fields["set_words"].value == "on.leave = leave"
    assert (fields["set_secret"].value, fields["set_secret"].required) == ("", False)


def test_form_when_sent_as_it_was_shown_gives_the_same_settings():
    typed = {field.name: field.value for field in by_name(STORED).values()}
    given = forms.read_settings(Staff(), typed)
    schema = Staff.settings_schema()
    assert schema.load({**given, "secret": "x"}) == schema.load({**STORED, "secret": "x"})


def test_pairs_when_a_key_or_a_column_holds_an_equals_sign_are_cut_at_the_spaced_one():
    typed = dict.fromkeys(by_name(), "") | {"set_words": "a=b = c\nd=e=f\n\n= nobody\nempty ="}
    assert forms.read_settings(Staff(), typed) == {"words": {"a=b": "c", "d": "e=f", "empty": ""}}


def test_errors_when_nested_are_told_beside_the_field():
    try:
        Staff.settings_schema().load(
            {"url": "x", "secret": "x", "page_size": "many", "fields": {"salary": "Pay"}}
        )
    except ma.ValidationError as error:
        told = forms.field_errors(error.messages_dict)
    assert told == {"set_page_size": "Not a valid integer.", "set_fields": "salary: Unknown field."}
    assert forms.field_errors({"_schema": ["Either this or that."]}) == {"form": "Either this or that."}


@pytest.mark.parametrize(("text", "minutes"), [("off", None), ("60", 60), ("5", 5), ("44640", 44640)])
def test_schedule_when_right_is_read(text, minutes):
    assert forms.read_schedule(text) == minutes


@pytest.mark.parametrize("text", ["", "4", "44641", "hourly", "-60", "6.5", "٦٠"])
def test_schedule_when_wrong_is_refused(text):
    with pytest.raises(ma.ValidationError):
        forms.read_schedule(text)


@pytest.mark.parametrize(
    ("schedule", "failures", "minutes"),
    [
        (60, 1, 120),
        (60, 2, 240),
        (60, 4, 960),
        (60, 5, 1440),
        (60, 500, 1440),
        (1440, 1, 1440),
        (10080, 3, 10080),
    ],
)
def test_wait_when_runs_fail_doubles_up_to_a_day(schedule, failures, minutes):
    assert wait_after(schedule, failures).total_seconds() == 60 * minutes

"""No birth date and no demographic field: not in a table, a form, a record of a connector or an answer."""

import importlib
import re
from dataclasses import fields
from pathlib import Path

import marshmallow as ma
import pytest

import rmplugin
from rmplugin import records
from rmplugin.db import Base
from rmplugin.programmes.answers import Answers
from tests.factories.rows import import_models

import_models()

TRAIT = re.compile(
    r"(?:^|_)(?:birth\w*|born|dob|age|ages|gender|sex|ethnic\w*|race|religion|faith|nationality|disab\w*"
    r"|orientation|marital\w*|children|pregnan\w*|veteran)(?:_|$)",
    re.IGNORECASE,
)


def forms():
    """Give every form: the classes of all `forms` modules and of those beside them."""
    found = {}
    for path in Path(rmplugin.__path__[0]).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "ma.Schema" not in text and "Schema)" not in text:
            continue
        name = ".".join(path.relative_to(Path(rmplugin.__path__[0]).parent).with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        for thing in vars(module).values():
            if (
                isinstance(thing, type)
                and issubclass(thing, ma.Schema)
                and thing.__module__ == module.__name__
            ):
                found[f"{name}.{thing.__name__}"] = set(thing._declared_fields)
    return found


def traits(names):
    return {name for name in names if TRAIT.search(name)}


def test_tables_when_looked_through_have_no_column_about_a_trait():
    found = {
        f"{table.name}.{column.name}" for table in Base.metadata.tables.values() for column in table.columns
        if TRAIT.search(column.name)
    }  # fmt: skip
    assert found == set()


def test_forms_when_looked_through_ask_for_no_trait():
    known = forms()
    assert len(known) > 20
    assert {form for form, names in known.items() if traits(names)} == set()


@pytest.mark.parametrize("record", [records.EmployeeRecord, records.Employment, Answers])
def test_records_when_looked_through_can_carry_no_trait(record):
    assert traits(field.name for field in fields(record)) == set()


@pytest.mark.parametrize(
    "name", ["birth_date", "date_of_birth", "age", "employee_age", "gender", "ethnicity", "marital_status"]
)
def test_trait_when_planted_is_found(name):
    assert traits({name}) == {name}


@pytest.mark.parametrize("name", ["page", "message", "stage", "languages", "usage", "manager_id", "average"])
def test_harmless_name_when_looked_at_is_left_alone(name):
    assert traits({name}) == set()

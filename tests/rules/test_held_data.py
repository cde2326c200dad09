"""Every table that names a person is in the catalogue of what is held, with how it goes."""

import ast
from pathlib import Path

import pytest

from rmplugin.data_requests.catalogue import HOLDINGS
from rmplugin.data_requests.views import PAGE_NAMES
from rmplugin.db import Base
from rmplugin.people.models import Person
from tests.factories.rows import import_models
from tests.rules import source

import_models()

# Tables that name a person without holding anything about them, and why.
NOT_HELD: dict[str, str] = {}


def columns_naming_people() -> dict[str, set[str]]:
    """Give every table's columns that point to a person, by foreign key or by name."""
    found: dict[str, set[str]] = {}
    for table in Base.metadata.sorted_tables:
        names = {
            column.name
            for column in table.columns
            if column.name == "person_id"
            or any(key.column.table.name == "person" for key in column.foreign_keys)
        }
        if names:
            found[table.name] = names
    return found


def test_tables_that_name_people_when_listed_are_in_the_catalogue():
    held = {holding.model.__tablename__ for holding in HOLDINGS}
    assert set(columns_naming_people()) - held - set(NOT_HELD) == set()


@pytest.mark.parametrize("holding", HOLDINGS, ids=lambda holding: holding.model.__tablename__)
def test_holding_when_read_names_columns_that_exist(holding):
    columns = {column.key for column in holding.model.__mapper__.columns}
    named = {*holding.who, *holding.hidden, *holding.also, *holding.words}
    if holding.through:
        named.add(holding.through[0])
        assert any(other.model is holding.through[1] for other in HOLDINGS)
    else:
        assert holding.who
    if holding.author:
        named.add(holding.author)
    # What an export cannot show, because the row has none, is a slip of the catalogue.
    assert (named - columns if holding.through is None else named - columns - {"person_id"}) == set()


@pytest.mark.parametrize("holding", HOLDINGS, ids=lambda holding: holding.model.__tablename__)
def test_holding_when_rows_have_words_says_what_becomes_of_them(holding):
    if holding.erase == "words" or holding.fades:
        assert holding.words
    if holding.model is not Person:
        assert holding.erase in ("delete", "words", "keep")


def pages_about_people(path: Path) -> set[str]:
    """Give the pages of a file that note that people were looked at, by the names that the access log has."""
    return {
        f"{path.parent.name}.{function.name}"
        for function in source.functions(source.parse(path))
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr == "note_access" and node.args
    }


def test_pages_that_note_whom_they_are_about_when_read_by_these_have_a_name():
    views = [path for path in source.python_files("rmplugin") if path.parent.name != "rmplugin"]
    assert set().union(*map(pages_about_people, views)) == set(PAGE_NAMES)

"""What people type about the catalogue of skills."""

import marshmallow as ma
from marshmallow import validate

from rmplugin.skills.files import FORMATS


class SearchQuery(ma.Schema):
    """Part of a skill's name."""

    q = ma.fields.String(load_default="", validate=validate.Length(max=100))


class PickForm(ma.Schema):
    """Skills that a programme takes, and what was searched for."""

    skills = ma.fields.List(ma.fields.UUID(), load_default=list)
    q = ma.fields.String(load_default="", validate=validate.Length(max=100))


class DropForm(ma.Schema):
    """A skill that a programme takes out."""

    skill = ma.fields.UUID(required=True)


class FileForm(ma.Schema):
    """How to read a file, and the name of a company's own catalogue; None finds the format out."""

    form = ma.fields.String(load_default=None, validate=validate.OneOf(FORMATS))
    scheme = ma.fields.String(
        load_default="company",
        validate=[
            validate.Length(1, 40),
            validate.NoneOf(("own", "esco", "onet"), error="This name stands for another catalogue."),
        ],
    )

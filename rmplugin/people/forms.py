"""What managers type about people."""

import marshmallow as ma

# How members of a course are listed: those who need a decision first.
GROUPS = ("conflict", "unknown", "linked")


class WhoForm(ma.Schema):
    """A person, named exactly."""

    who = ma.fields.String(
        required=True,
        validate=ma.validate.Length(1, 255),
        error_messages={"required": "Type an employee number or a work e-mail address."},
    )


class LinkForm(ma.Schema):
    """The person that the page before showed."""

    person = ma.fields.UUID(required=True)


class CourseQuery(ma.Schema):
    """Which members of the course are listed.

    `group` is None for the first that needs somebody.
    """

    group = ma.fields.String(validate=ma.validate.OneOf((*GROUPS, "missing")), load_default=None)
    q = ma.fields.String(validate=ma.validate.Length(max=100), load_default="")
    page = ma.fields.Integer(validate=ma.validate.Range(1, 100_000), load_default=1)

"""What an administrator types to find a person, and to erase one."""

import marshmallow as ma

from rmplugin.fields import words


class FindForm(ma.Schema):
    """Who is meant."""

    person = words(200, required=False)


class EraseForm(ma.Schema):
    """The name once more, so that a slip erases nobody."""

    name = words(400)

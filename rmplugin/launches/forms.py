"""The content picker's form."""

from typing import Any

import marshmallow as ma

from rmplugin.launches.catalogue import CONTENTS


class PickForm(ma.Schema):
    """What a teacher picked.

    :param one_only: the LMS takes one item.

    `views` names the chosen contents, each with its own field `title_<view>`; `graded` asks for a gradebook
    column with the start page; `target` is where the links open.
    """

    views = ma.fields.List(ma.fields.String(validate=ma.validate.OneOf(CONTENTS)), load_default=list)
    graded = ma.fields.Boolean(load_default=False)
    target = ma.fields.String(validate=ma.validate.OneOf(["iframe", "window"]), load_default=None)
    title_home = ma.fields.String(validate=ma.validate.Length(max=200), load_default="")
    title_goals = ma.fields.String(validate=ma.validate.Length(max=200), load_default="")
    title_credits = ma.fields.String(validate=ma.validate.Length(max=200), load_default="")
    title_desk = ma.fields.String(validate=ma.validate.Length(max=200), load_default="")

    def __init__(self, *, one_only: bool = False) -> None:
        super().__init__()
        self._one_only = one_only

    @ma.validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse an empty choice; each content goes into the course once."""
        if not data["views"]:
            raise ma.ValidationError("Choose at least one, or cancel.", "views")
        if self._one_only and len(data["views"]) > 1:
            raise ma.ValidationError("Your LMS takes one at a time. Choose one.", "views")

"""What the administrator's pages can be asked for."""

import re

import marshmallow as ma
from marshmallow import fields
from marshmallow.validate import Length, OneOf


class LaunchFilter(ma.Schema):
    """Which launch attempts are listed. A reference names one, whatever else is asked."""

    show = fields.String(load_default="refused", validate=OneOf(["refused", "all"]))
    platform = fields.UUID(load_default=None)
    reference = fields.String(load_default=None, validate=Length(max=20))


class PlatformForm(ma.Schema):
    """A registration by hand: the text that the LMS prints, or each value by itself; a typed value wins."""

    name = fields.String(required=True, error_messages={"required": "Give it a name of your own."})
    printed = fields.String(load_default="")
    family = fields.String(load_default=None)
    issuer = fields.String(load_default=None)
    client_id = fields.String(load_default=None)
    auth_url = fields.String(load_default=None)
    token_url = fields.String(load_default=None)
    jwks_url = fields.String(load_default=None)
    token_audience = fields.String(load_default=None)
    deployment_ids = fields.String(load_default="")
    identity_sources = fields.List(fields.String(), load_default=None)
    allow_anonymous = fields.Boolean(load_default=False)

    @ma.post_load
    def split(self, data: dict[str, object], **_: object) -> dict[str, object]:
        """Take the deployment ids apart: commas, spaces or lines between them."""
        return {
            **data,
            "deployment_ids": [part for part in re.split(r"[,\s]+", str(data["deployment_ids"])) if part],
        }


class InviteForm(ma.Schema):
    """An invite for an LMS that registers itself."""

    name = fields.String(load_default=None)

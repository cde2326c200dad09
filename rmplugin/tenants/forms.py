"""What the administrator's pages can be asked for."""

import marshmallow as ma
from marshmallow.validate import Length, OneOf


class LaunchFilter(ma.Schema):
    """Which launch attempts are listed. A reference names one, whatever else is asked."""

    show = ma.fields.Str(load_default="refused", validate=OneOf(["refused", "all"]))
    platform = ma.fields.UUID(load_default=None)
    reference = ma.fields.Str(load_default=None, validate=Length(max=20))

"""What is asked for a calendar."""

from urllib.parse import urlsplit

import marshmallow as ma

from rmplugin.fields import words


class CalendarForm(ma.Schema):
    """The address of a calendar file."""

    url = words(2000)

    @ma.validates("url")
    def _check(self, value: str, **_more: object) -> None:
        if not is_address(value):
            raise ma.ValidationError(
                "Please give an address that begins with https:// or webcal://, as your calendar shows it."
            )

    @ma.post_load
    def _as_https(self, data: dict[str, str], **_more: object) -> dict[str, str]:
        scheme, _colon, rest = data["url"].partition(":")
        return {"url": f"https:{rest}" if scheme.lower() == "webcal" else data["url"]}


def is_address(text: str) -> bool:
    """Tell whether it is the address of a file in the web that is fetched in secret. **Touches** pure."""
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return parts.scheme in ("https", "webcal") and has_host and not any(c.isspace() for c in text)

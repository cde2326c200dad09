"""Platform storage: where the browser's secret is kept when the browser hides our cookie.

The script `storage.js` puts the secret there during the login and asks for it during the launch. It sends to
the origin of the platform's authorisation address only, and takes replies from there only.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from markupsafe import Markup

SCRIPT = Path(__file__).with_name("storage.js").read_bytes()
# A browser that has the script of an older version asks for the new one.
SCRIPT_VERSION = hashlib.sha256(SCRIPT).hexdigest()[:12]
_LINK = Markup('<a id="lti-storage" href="{url}"{data}>Continue</a>')
_FORM = Markup(
    '<form id="lti-storage" method="post" action="{url}"{data}>{fields}<button>Continue</button></form>'
)
_FIELD = Markup('<input type="hidden" name="{}" value="{}">')
_SCRIPT = Markup('\n<script src="{}" defer></script>')
_PAGE = Markup(
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Opening the activity</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="icon" href="data:,"></head>\n'
    "<body><main><h1>Opening the activity</h1>\n{}\n</main></body></html>\n"
)


@dataclass(frozen=True, slots=True)
class StorageQuestion:
    """What to ask the platform's storage for when a launch came without its cookie.

    :param code: one-time code of the answer's post to `/lti/confirm`
    :param frame: `lti_storage_target` of the login: "_parent", or the name of a frame beside the tool's
    :param platform_url: an address on the only origin that may answer
    """

    code: str = field(repr=False)
    frame: str
    platform_url: str
    key: str


def putting_link(
    url: str, frame: str, key: str, value: str, script_url: str, *, otherwise: str | None = None
) -> Markup:
    """Make the element that puts the browser's secret into the platform's storage and then goes on.

    :param url: the platform's authorisation address, with the request; without a script it is a plain link
    :param value: a secret of one launch; only the platform's own origin can read the message
    :param otherwise: where to go when the storage does not take it; None goes on all the same
    **Source** LTI PostMessage Storage 0.1, lti.put_data. **Touches** pure.
    """
    more = {"value": value} | ({"otherwise": otherwise} if otherwise else {})
    return _LINK.format(url=url, data=_data(frame, url, key, **more)) + _SCRIPT.format(script_url)


def asking_form(question: StorageQuestion, id_token: str, *, confirm_url: str, script_url: str) -> Markup:
    """Make the element that asks the platform's storage for the secret and posts it with the launch message.

    Without a script, or without an answer in time, it posts no secret, and the launch goes on in a new tab.

    **Source** LTI PostMessage Storage 0.1, lti.get_data. **Touches** pure.
    """
    posted = {"code": question.code, "id_token": id_token, "stored": ""}
    fields = Markup("").join(_FIELD.format(*pair) for pair in posted.items())
    data = _data(question.frame, question.platform_url, question.key)
    return _FORM.format(url=confirm_url, data=data, fields=fields) + _SCRIPT.format(script_url)


def plain_page(element: Markup) -> str:
    """Put an element on a page that any LMS can frame. **Touches** pure."""
    return _PAGE.format(element)


def _data(frame: str, platform_url: str, key: str, **more: str) -> Markup:
    parts = urlsplit(platform_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    names: Mapping[str, str] = {"frame": frame, "origin": origin, "key": key, **more}
    return Markup("").join(Markup(' data-{}="{}"').format(*pair) for pair in names.items())

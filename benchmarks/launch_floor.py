"""The least that can answer a launch: the same requests, the same server, no database and no check at all.

For WSGI servers: `gunicorn benchmarks.launch_floor:app`.
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, urlencode

EMPTY = (("Content-Length", "0"),)
# About as long as the product's first page.
PADDING = "<p>" + "x" * 3000 + "</p>"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer login, launch, entry and home; whoever asked is carried from one to the next."""
    sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    asked = {name: values[0] for name, values in parse_qs(sent or environ["QUERY_STRING"]).items()}
    path = environ["PATH_INFO"]
    if path == "/lti/login":
        who = asked["login_hint"]
        where = "http://127.0.0.1/auth?" + urlencode({"state": who, "nonce": who})
        start_response("302 Found", [*EMPTY, ("Location", where), ("Set-Cookie", f"lti-{who}={who}; Path=/")])
        return [b""]
    if path == "/lti/launch":
        start_response("303 See Other", [*EMPTY, ("Location", f"/entry/{asked['state']}")])
        return [b""]
    if path.startswith("/entry/"):
        who = path.rsplit("/", 1)[-1]
    else:
        who = str(int(environ["HTTP_X_RM_SESSION"], 16))
    page = f"""<body hx-headers='{{"X-Rm-Session": "{int(who):x}"}}'>Person {int(who):05}x{PADDING}"""
    body = page.encode()
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(body)))])
    return [body]

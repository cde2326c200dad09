"""A server for stand-ins that can fail, and how failures are looked at."""

import io
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from rmplugin.api import FatalError, RetriableError

# Words of the people that the contract puts into a source; none of them may stand in a message.
FAMILY_NAME, MAIL_DOMAIN = "Quillfeather", "quill.example"
# Ways of failing that every HTTP interface knows, and what a reading must end with.
FAULTS: Mapping[str, type[Exception] | None] = {
    "throttled_once": None,
    "throttled_for_a_day": RetriableError,
    "down_once": None,
    "down": RetriableError,
    "reset_once": None,
    "unauthorised": FatalError,
    "forbidden": FatalError,
    "html": RetriableError,
    "truncated": RetriableError,
    "redirected": FatalError,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a stand-in got."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class _Quiet(WSGIRequestHandler):
    def log(self, *_words: object, **_more: object) -> None:
        """Say nothing."""


class FaultyServer:
    """Serves a WSGI application on loopback, and fails as it is told.

    :param app: the stand-in.
    :ivar url: its address.
    :ivar asked: the requests so far.
    :ivar spare: a path that begins so never fails: where tokens are fetched.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], *, spare: str = "\0") -> None:
        self._app = app
        self.asked: list[Asked] = []
        self.spare = spare
        self._fault: str | None = None
        self._good = 0
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # It looks this often whether it shall stop; a test should not wait half a second for that.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(self, fault: str | None, *, after: int = 0) -> None:
        """Fail from now on, or once.

        :param fault: a key of `FAULTS`; None to be well again.
        :param after: so many good answers come first.
        """
        self._fault, self._good = fault, after

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        asked = Asked(
            request.method,
            request.path,
            request.query_string.decode(),
            dict(request.headers),
            request.get_data(cache=True, parse_form_data=False),
        )
        self.asked.append(asked)
        # The body can be read once only; the stand-in wants it, too.
        environ["wsgi.input"] = io.BytesIO(asked.body)
        if self._fault is not None and not request.path.startswith(self.spare):
            if self._good > 0:
                self._good -= 1
            else:
                return self._broken(self._fault, request, environ)(environ, start_response)
        return self._app(environ, start_response)

    def _broken(self, fault: str, request: Request, environ: WSGIEnvironment) -> Response:
        if fault.endswith("_once"):
            self._fault = None
        if fault in ("truncated", "reset_once"):
            whole = Response.from_app(self._app, environ).get_data()
            # Fewer bytes than were announced: the connection breaks off.
            half = iter([whole[: len(whole) // 2]])
            return Response(
                half, 200, {"Content-Length": str(len(whole)), "Content-Type": "application/json"}
            )
        answers: Mapping[str, tuple[int, dict[str, str], str]] = {
            "throttled_once": (429, {"Retry-After": "0"}, "{}"),
            "throttled_for_a_day": (429, {"Retry-After": "86400"}, "{}"),
            "down_once": (503, {"Retry-After": "0"}, "<html>down</html>"),
            "down": (500, {}, "<html>down</html>"),
            "unauthorised": (401, {}, "{}"),
            "forbidden": (403, {}, "{}"),
            "html": (200, {"Content-Type": "text/html"}, "<html>Please sign in</html>"),
            "redirected": (302, {"Location": f"http://localhost:1{request.path}"}, ""),
        }
        status, headers, body = answers[fault]
        return Response(body, status, headers)


def caught(action: Callable[[], object]) -> Any:
    """Give what an action raises; None when it raises nothing."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the caller looks at it.
        return error
    return None


def names_nobody(text: str) -> None:
    """Assert that a text names nobody of whom the contracts tell. **Touches** pure."""
    for word in (FAMILY_NAME, MAIL_DOMAIN, "quill"):
        assert word.lower() not in text.lower()

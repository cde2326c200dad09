"""Run the platform: `python -m tests.fakes.openedx --tool-url http://127.0.0.1:8000`.

One line of JSON on standard output says that it is ready and where everything is. It ends on SIGTERM, SIGINT
and, with `--until-stdin-closes`, when the process that started it is gone.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each request: the platform fetches the tool's key set while the tool waits for a token."""

    daemon_threads = True
    request_queue_size = 64

    def server_bind(self):
        # The inherited method looks its own name up in DNS, which can take seconds.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


class Handler(WSGIRequestHandler):
    """Write no access log; the control endpoint shows the requests."""

    def log_message(self, format, *args):  # noqa: A002 - the name is inherited.
        pass


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.openedx", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--tool-url", required=True, help="base URL of the tool, without a final slash")
    parser.add_argument("--login-path", default="/lti/login")
    parser.add_argument("--launch-path", default="/lti/launch", help="the redirect URI of the tool")
    parser.add_argument("--target-path", help="the target_link_uri; the launch path unless given")
    parser.add_argument("--jwks-path", default="/lti/jwks")
    parser.add_argument("--until-stdin-closes", action="store_true")
    return parser.parse_args()


def serve(options, data):
    os.environ["FAKE_OPENEDX_DATA"] = data
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.fakes.openedx.settings"
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    with Server((options.host, options.port), Handler) as server:
        from django.core.wsgi import get_wsgi_application

        from . import lms

        tool = options.tool_url.rstrip("/")
        description = lms.set_up(
            f"http://{options.host}:{server.server_port}",
            {
                "login": tool + options.login_path,
                "target": tool + (options.target_path or options.launch_path),
                "redirect": [tool + options.launch_path],
                "jwks": tool + options.jwks_path,
            },
        )
        server.set_app(get_wsgi_application())
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        print(json.dumps(description | {"pid": os.getpid()}), flush=True)  # noqa: T201 - the answer to the caller.
        wait(options)
        server.shutdown()


def wait(options):
    """Return when the process is asked to end."""
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    if options.until_stdin_closes:

        def watch():
            sys.stdin.read()
            end.set()

        threading.Thread(target=watch, daemon=True).start()
    end.wait()


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="fake-openedx-") as data:
        serve(options, data)


if __name__ == "__main__":
    main()

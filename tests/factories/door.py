"""The tool's own web server in this process, for browsers and for checks that knock at the public address."""

import threading

from werkzeug.serving import make_server


class Door:
    """A web server on a free port, whose app is made when the port is known.

    :ivar app: a WSGI application.
    :ivar added: headers that a proxy in front of it adds or replaces.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.app, self.added = None, {}
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://{host}:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def __call__(self, environ, start_response):
        def start(status, headers, *rest):
            kept = [(name, value) for name, value in headers if name not in self.added]
            return start_response(status, [*kept, *self.added.items()], *rest)

        return self.app(environ, start)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

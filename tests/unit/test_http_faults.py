"""The client to other systems: faults 1 to 15 and 50 of HTTP, on real connections to a server that fails."""

import gzip
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from rmplugin.errors import FatalError, RetriableError
from rmplugin.http import BearerToken, Client, Limits, Pages, make_session, retry_after_seconds
from rmplugin.testing import FaultyServer, caught

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Script:
    """Answers one request after the other as it is told; the last answer is repeated."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)

    def __call__(self, environ, start_response):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        made = answer(Request(environ)) if callable(answer) else Response(*answer)
        return made(environ, start_response)


class Clock:
    """Waiting moves it; nothing really waits."""

    def __init__(self) -> None:
        self.passed, self.waits = 0.0, []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passed += seconds

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ask(clock):
    """Serve a script and give (client, server)."""
    servers = []

    def ask(*answers, **options) -> tuple[Client, FaultyServer]:
        server = FaultyServer(Script(*answers))
        servers.append(server)
        server.__enter__()
        clocks = {"sleep": clock.sleep, "monotonic": clock.monotonic, "now": clock.now}
        return Client("Peoplesoup", server.url, **{**clocks, **options}), server

    yield ask
    for server in servers:
        server.__exit__()


GOOD = ('{"ok": true}', 200)


def limited(**headers: str):
    return ("{}", 429, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (limited(Retry_After="7"), 7),
        (limited(Retry_After=format_datetime(NOW + timedelta(seconds=90), usegmt=True)), 90),
        (limited(X_Rate_Limit_Reset=str(int(NOW.timestamp()) + 40)), 40),
        (limited(X_RateLimit_Reset=str((int(NOW.timestamp()) + 41) * 1000)), 41),
        (limited(RateLimit_Reset="12"), 12),
        (limited(Retry_After="-5"), None),
        (limited(), None),
    ],
)
def test_throttling_when_the_server_names_a_wait_is_waited_out(ask, clock, answer, wait):
    """Faults 1, 2 and 3: seconds, a date, a reset moment, or nothing."""
    client, _server = ask(answer, GOOD)
    assert client.get("people").json() == {"ok": True}
    (waited,) = clock.waits
    assert waited == pytest.approx(wait) if wait is not None else 0.5 < waited < 2


def test_throttling_when_the_wait_is_a_day_ends_the_reading_at_once(ask, clock):
    """Fault 4."""
    client, server = ask(limited(Retry_After="86400"))
    error = caught(lambda: client.get("people"))
    assert (type(error), error.retry_after, clock.waits, len(server.asked)) == (RetriableError, 86400, [], 1)


@pytest.mark.parametrize("value", ["9" * 400, "Fri, 31 Dec 9999 23:59:59 -0100", "soon", "", "²"])
def test_wait_when_it_makes_no_sense_is_bounded_or_none(value):
    assert retry_after_seconds({"Retry-After": value}, NOW) in (None, 365 * 86400.0)


@pytest.mark.parametrize("status", [403, 503, 500])
def test_throttling_when_it_hides_behind_another_status_is_tried_again(ask, clock, status):
    """Fault 5: Google's 403, BambooHR's old 503, Workday's 500."""
    body = '{"error": {"errors": [{"reason": "quotaExceeded"}]}}'
    client, _server = ask(
        (body, status, {"Retry-After": "3"}),
        GOOD,
        is_throttled=lambda reply: b"quotaExceeded" in reply.body,
    )
    assert client.get("people").json() == {"ok": True}
    assert clock.waits == [3]


def test_error_of_the_server_when_it_passes_costs_nothing(ask, clock):
    """Fault 6."""
    client, server = ask(GOOD, ("", 502), GOOD)
    assert [client.get(f"people?page={n}").json() for n in (1, 2)] == [{"ok": True}] * 2
    assert [asked.query for asked in server.asked] == ["page=1", "page=2", "page=2"]
    assert len(clock.waits) == 1


def test_error_of_the_server_when_it_stays_is_tried_a_few_times(ask, clock):
    """Fault 7: the waits grow, and there is an end."""
    client, server = ask(("", 500))
    error = caught(lambda: client.get("people"))
    assert (type(error), error.remote_status, len(server.asked)) == (RetriableError, 500, 5)
    assert sorted(clock.waits) == clock.waits


def test_reading_when_its_time_is_over_ends_whatever_is_allowed(ask, clock):
    """Fault 7: tries, waits and time are bounded together."""
    client, server = ask(limited(Retry_After="200"), limits=Limits(seconds=500, tries=50))
    assert isinstance(caught(lambda: client.get("people")), RetriableError)
    assert (clock.passed <= 500, len(server.asked)) == (True, 3)
    clock.passed = 501
    assert "too long" in caught(lambda: client.get("people")).message_for_user


def test_connection_when_nobody_answers_is_tried_again_and_given_up(clock):
    """Fault 8: nobody listens."""
    with FaultyServer(Script(GOOD)) as server:
        closed = server.url
    client = Client("Peoplesoup", closed, sleep=clock.sleep, monotonic=clock.monotonic)
    error = caught(lambda: client.get("people"))
    assert (type(error), error.remote_status, len(clock.waits)) == (RetriableError, None, 4)


def half(_request):
    return Response(iter([b'{"people": [']), 200, {"Content-Length": "1000"})


def test_answer_when_it_breaks_off_is_asked_for_again(ask):
    """Faults 8 and 9: a reset in the middle of a body."""
    client, server = ask(half, half, GOOD)
    assert client.get("people").json() == {"ok": True}
    assert len(server.asked) == 3
    client, _server = ask(half)
    assert "broke off" in caught(lambda: client.get("people")).message_for_user


def test_compressed_answer_when_it_is_cut_is_no_answer(ask):
    """Fault 9: half of a gzip stream that says it is whole."""
    whole = gzip.compress(b'{"people": [' + b"1," * 50_000 + b"1]}")
    client, _server = ask((whole[: len(whole) // 2], 200, {"Content-Encoding": "gzip"}))

    def read():
        return client.get("people").json()

    assert isinstance(caught(read), RetriableError)


@pytest.mark.parametrize("body", ["<html>Please sign in</html>", '{"people": [', "[" * 100_000])
def test_answer_when_it_is_no_json_is_no_empty_roster(ask, body):
    """Faults 9 and 10: a login page, or half a document, with 200."""
    client, _server = ask((body, 200))
    error = caught(lambda: client.get("people").json())
    assert isinstance(error, RetriableError)
    assert "sign in" not in str(error)


def test_token_when_it_is_refused_in_the_middle_is_renewed_once(ask):
    """Fault 12: 401 in the middle of a reading."""
    tokens = iter(["first", "second", "third"])
    client, server = ask(GOOD, ("", 401), GOOD, ("", 401), bearer=lambda: next(tokens))
    assert client.get("1").status == 200
    assert client.get("2").status == 200
    assert [a.headers["Authorization"] for a in server.asked] == [
        "Bearer first", "Bearer first", "Bearer second",
    ]  # fmt: skip
    assert isinstance(caught(lambda: client.get("3")), FatalError)
    assert len(server.asked) == 5


@pytest.mark.parametrize(("status", "words"), [(401, "credentials"), (403, "permissions")])
def test_refusal_when_it_is_for_ever_is_never_tried_again(ask, clock, status, words):
    """Fault 12: vendors' fire walls bar who goes on asking."""
    client, server = ask(("secret body", status), auth=("user", "password"))
    error = caught(lambda: client.get("people?token=abc"))
    assert (type(error), len(server.asked), clock.waits) == (FatalError, 1, [])
    assert words in error.message_for_user
    assert not {"secret", "token", "password"} & set(str(error).replace("?", " ").replace("=", " ").split())


def test_token_when_the_client_is_refused_says_so(ask):
    client, _server = ask(('{"error": "invalid_client"}', 401))
    error = caught(BearerToken(client, "token", {"client_id": "c", "client_secret": "hush"}))
    assert isinstance(error, FatalError)
    assert "client id or secret" in error.message_for_user
    client, _server = ask(('{"access_token": 7}', 200))
    assert isinstance(caught(BearerToken(client, "token", {})), RetriableError)


def test_redirect_when_it_stays_on_the_host_is_followed(ask):
    client, server = ask(("", 302, {"Location": "/moved"}), GOOD)
    assert client.get("people").status == 200
    assert [asked.path for asked in server.asked] == ["/people", "/moved"]
    client, server = ask(("", 302, {"Location": "/again"}))
    assert isinstance(caught(lambda: client.get("people")), FatalError)
    assert len(server.asked) == 4


def test_credentials_when_redirected_to_another_host_are_not_sent_there(ask):
    """Fault 13."""
    _other, thief = ask(GOOD)
    client, _server = ask(("", 302, {"Location": thief.url + "/people"}), bearer=lambda: "token")
    assert isinstance(caught(lambda: client.get("people")), FatalError)
    assert thief.asked == []


@pytest.mark.parametrize(
    "link", ["https://evil.example/people", "http://127.0.0.1:1/people", "//evil.example/"]
)
def test_next_link_when_it_leads_elsewhere_is_not_followed(ask, link):
    """Fault 13: to another host, port or scheme."""
    client, server = ask(GOOD)
    assert isinstance(caught(lambda: client.get(link)), FatalError)
    assert server.asked == []


def test_next_link_when_it_comes_again_ends_the_reading():
    """Fault 17."""
    pages = Pages("Peoplesoup")
    assert [pages.once(link) for link in ("a", "b")] == ["a", "b"]
    assert isinstance(caught(lambda: pages.once("a")), RetriableError)


def certificate(folder, *, days: int) -> tuple[str, str]:
    """Make a certificate of our own for localhost that is valid until so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    until = datetime.now(UTC) + timedelta(days=days)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(until - timedelta(days=30))
    made = made.not_valid_after(until)
    alternative = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = made.add_extension(alternative, critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = made.sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.mark.parametrize(
    ("days", "trusted", "works"), [(9, True, True), (9, False, False), (-1, True, False)]
)
def test_certificate_when_it_is_not_to_be_trusted_ends_the_reading(tmp_path, clock, days, trusted, works):
    """Fault 14: unknown, or expired."""
    cert, key = certificate(tmp_path, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = make_server("127.0.0.1", 0, Script(GOOD), threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        session = make_session()
        session.verify = cert if trusted else True
        client = Client(
            "Peoplesoup", f"https://localhost:{server.server_port}", session=session, sleep=clock.sleep
        )
        error = caught(lambda: client.get("people"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (error is None) == works
    if not works:
        assert (type(error), clock.waits) == (FatalError, [])
        assert "certificate" in error.message_for_user


def test_answer_when_it_drips_is_given_up_after_its_time(ask):
    """Fault 50: a byte now and then keeps nobody."""

    def drip(_request):
        def bytes_():
            for _ in range(1000):
                time.sleep(0.005)
                yield b" "

        return Response(bytes_(), 200, {"Content-Type": "application/json"})

    client, _server = ask(drip, limits=Limits(answer_seconds=0.2, tries=1), monotonic=time.monotonic)
    error = caught(lambda: client.get("people"))
    assert isinstance(error, RetriableError)
    assert "too long" in error.message_for_user


def test_answer_when_it_is_too_large_is_not_kept(ask):
    bomb = gzip.compress(bytes(5_000_000))
    client, _server = ask(
        (bomb, 200, {"Content-Encoding": "gzip"}), limits=Limits(answer_bytes=1_000_000, tries=1)
    )
    assert isinstance(caught(lambda: client.get("people")), FatalError)
    client, _server = ask((bytes(999_999), 200), limits=Limits(answer_bytes=1_000_000))
    assert len(client.get("people").body) == 999_999


def test_stream_when_it_breaks_off_says_so_to_its_reader(ask):
    """Fault 49: a document that is read as it comes is never taken for whole."""
    client, _server = ask(half)
    with client.stream("GET", "people") as document:
        assert document.read(5) == b'{"peo'
        assert isinstance(caught(lambda: [document.read(100) for _ in range(5)]), RetriableError)

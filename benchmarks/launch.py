"""How long a launch takes: a bare verification, PyLTI1p3's Flask example, and ours, side by side.

(a) a Flask view that verifies the same RS256 token with a cached key: the floor;
(b) the pattern of PyLTI1p3's Flask example with key caching on: login and launch;
(c) ours: login with a one-time state in the database, launch with the person linked and a session stored.
    Most launches are of people who have launched before; the first launch of a person, which links
    them to the HR
    roster and stores user, course membership and audit entry, is reported in a line of its own.

Each round times one launch of every variant in turn, so that load on the machine hits all alike. Signing the
token is the platform's work and is not timed. Every answer is checked in the same run.

Run: python benchmarks/launch.py [--rounds 400]. RM_BENCH_POSTGRES_URL names a PostgreSQL server on which a
database may be made; without it (c) runs on SQLite only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import flask
import jwt
import responses
from cryptography.hazmat.primitives.asymmetric import rsa
from flask_caching import Cache
from pylti1p3.contrib.flask import FlaskCacheDataStorage, FlaskMessageLaunch, FlaskOIDCLogin, FlaskRequest
from pylti1p3.tool_config import ToolConfDict
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import make_url
from werkzeug.test import EnvironBuilder, run_wsgi_app

from rmplugin import migrations
from rmplugin.app import create_app
from rmplugin.logins import WebSession
from rmplugin.people.models import LtiUser, Person
from rmplugin.settings import make_secret_key, read_settings
from rmplugin.tenants.keys import ensure_tool_keys
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import PlatformValues, add_platform, ensure_tenant
from rmplugin.wiring import make_runtime

ISSUER = "https://lms.example"
CLIENT = "client-1"
TOOL = "https://tool.example"
KID = "k1"
CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
PEOPLE = 200

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
JWK = {
    **json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())),
    "kid": KID,
    "alg": "RS256",
    "use": "sig",
}


def claims(nonce: str, person: int) -> dict[str, object]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": str(person),
        "iat": now,
        "exp": now + 60,
        "nonce": nonce,
        "name": f"Person {person}",
        "email": f"p{person}@company.example",
        CLAIM + "version": "1.3.0",
        CLAIM + "message_type": "LtiResourceLinkRequest",
        CLAIM + "deployment_id": "1",
        CLAIM + "target_link_uri": f"{TOOL}/lti/launch",
        CLAIM + "roles": ["http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"],
        CLAIM + "context": {"id": "3", "title": "Course"},
        CLAIM + "resource_link": {"id": "12", "title": "Mentoring"},
        CLAIM + "custom": {"employee_number": str(person)},
    }


def sign(nonce: str, person: int) -> str:
    return jwt.encode(claims(nonce, person), KEY, "RS256", headers={"kid": KID})


def call(app: flask.Flask, method: str, path: str, data: dict[str, str], cookie: str = ""):
    """Call an app as a WSGI server does; only the call is timed."""
    headers = {"Cookie": cookie} if cookie else {}
    environ = EnvironBuilder(
        path=path, method=method, data=data, base_url=TOOL, headers=headers
    ).get_environ()
    start = time.perf_counter()
    body, status, answer_headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    return time.perf_counter() - start, int(status.split()[0]), answer_headers, b"".join(body)


class Bare:
    """(a) nothing but the signature and the standard claims."""

    name = "(a) bare verification"

    def __init__(self) -> None:
        self.app = flask.Flask("bare")
        public = KEY.public_key()

        @self.app.post("/lti/launch")
        def launch():
            body = jwt.decode(flask.request.form["id_token"], public, algorithms=["RS256"], audience=CLIENT)
            return body["sub"]

    def round(self, person: int) -> float:
        seconds, status, _headers, body = call(
            self.app, "POST", "/lti/launch", {"id_token": sign("n", person), "state": "s"}
        )
        assert (status, body) == (200, str(person).encode())
        return seconds


class WithLogin:
    """What (b) and (c) share: a login whose redirect carries state and nonce, then the launch."""

    app: flask.Flask

    def round(self, person: int) -> float:
        login = {
            "iss": ISSUER,
            "client_id": CLIENT,
            "login_hint": str(person),
            "target_link_uri": f"{TOOL}/lti/launch",
            "lti_deployment_id": "1",
        }
        first, status, headers, _body = call(self.app, "POST", "/lti/login", login)
        assert status == 302, status
        query = parse_qs(urlsplit(headers["Location"]).query)
        cookie = "; ".join(value.split(";")[0] for value in headers.getlist("Set-Cookie"))
        form = {"state": query["state"][0], "id_token": sign(query["nonce"][0], person)}
        second, status, headers, body = call(self.app, "POST", "/lti/launch", form, cookie)
        self.check(person, status, headers, body)
        return first + second


class Example(WithLogin):
    """(b) PyLTI1p3's Flask example, without its page that tests cookies by script."""

    name = "(b) PyLTI1p3 example"

    def __init__(self) -> None:
        self.app = flask.Flask("example")
        self.app.config.update(SECRET_KEY="x", CACHE_TYPE="SimpleCache", CACHE_DEFAULT_TIMEOUT=600)
        cache = Cache(self.app)
        conf = ToolConfDict(
            {
                ISSUER: {
                    "client_id": CLIENT,
                    "auth_login_url": f"{ISSUER}/auth",
                    "auth_token_url": f"{ISSUER}/token",
                    "key_set_url": f"{ISSUER}/jwks",
                    "deployment_ids": ["1"],
                }
            }
        )

        @self.app.post("/lti/login")
        def login():
            storage = FlaskCacheDataStorage(cache)
            request = FlaskRequest()
            return FlaskOIDCLogin(request, conf, launch_data_storage=storage).redirect(
                request.get_param("target_link_uri")
            )

        @self.app.post("/lti/launch")
        def launch():
            storage = FlaskCacheDataStorage(cache)
            message = FlaskMessageLaunch(FlaskRequest(), conf, launch_data_storage=storage)
            message.set_public_key_caching(storage, cache_lifetime=7200)
            return message.get_launch_data()["sub"]

    def check(self, person, status, _headers, body) -> None:
        assert (status, body) == (200, str(person).encode()), (status, body[:200])


class Ours(WithLogin):
    """(c) the whole launch of this product."""

    def __init__(self, name: str, folder: Path, database_url: str) -> None:
        self.name = name
        make_secret_key(folder)
        settings = read_settings(
            {"RM_DATA_DIR": str(folder), "RM_PUBLIC_URL": TOOL, "RM_DATABASE_URL": database_url}
        )
        self.runtime = make_runtime(settings)
        migrations.upgrade(self.runtime.database.engine)
        now = datetime.now(UTC)
        with self.runtime.database.transaction(None) as db:
            tenant = ensure_tenant(db, "bench", "Bench", now)
            ensure_tool_keys(db, self.runtime.database.secrets, now)
        self.tenant_id = tenant.id
        with self.runtime.database.transaction(tenant.id) as db:
            add_platform(
                db,
                PlatformValues(
                    name="lms",
                    issuer=ISSUER,
                    client_id=CLIENT,
                    auth_url=f"{ISSUER}/auth",
                    token_url=f"{ISSUER}/token",
                    jwks_url=f"{ISSUER}/jwks",
                    deployment_ids=("1",),
                ),
                now,
            )
            account = HrAccount(name="hr", connector="csv_file", settings={}, grade_ranks={}, created_at=now)
            db.add(account)
            db.flush()
            db.add_all(
                Person(
                    account_id=account.id,
                    source_key=str(n),
                    employee_number=str(n),
                    display_name=f"Person {n}",
                    status="active",
                    languages=[],
                    row_hash="",
                    seen_at=now,
                    created_at=now,
                    updated_at=now,
                )
                for n in range(PEOPLE)
            )
        self.app = create_app(settings, runtime=self.runtime)
        self.launches = 0

    def check(self, _person, status, headers, _body) -> None:
        assert status == 303, status
        assert "/entry/" in headers["Location"]
        self.launches += 1

    def check_all(self) -> None:
        """Every launch has left exactly one session of the right person."""
        with self.runtime.database.transaction(self.tenant_id, write=False) as db:
            sessions = select(func.count(WebSession.id)).where(WebSession.person_id.is_not(None))
            assert db.scalar(sessions) == self.launches
            linked = select(func.count(LtiUser.id)).join(Person, Person.id == LtiUser.person_id)
            assert db.scalar(linked.where(Person.employee_number == LtiUser.sub)) == min(
                PEOPLE, self.launches
            )
        self.runtime.database.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mocked = stack.enter_context(responses.RequestsMock(assert_all_requests_are_fired=False))
        mocked.get(f"{ISSUER}/jwks", json={"keys": [JWK]})
        ours = [Ours("(c) ours, SQLite", folder / "sqlite", f"sqlite:///{folder}/bench.sqlite3")]
        server = os.environ.get("RM_BENCH_POSTGRES_URL")
        if server:
            ours.append(Ours("(c) ours, PostgreSQL", folder / "postgresql", _make_database(stack, server)))
        variants = [Bare(), Example(), *ours]
        times: dict[str, list[float]] = {variant.name: [] for variant in variants}
        first = {f"{variant.name}, first time": [] for variant in ours}
        for number in range(rounds + PEOPLE):
            for variant in variants:
                seconds = variant.round(number % PEOPLE)
                if number >= PEOPLE:
                    times[variant.name].append(seconds)
                elif variant in ours and number >= 50:
                    first[f"{variant.name}, first time"].append(seconds)
        for variant in ours:
            variant.check_all()
    _report(times | first)


def _make_database(stack: ExitStack, server: str) -> str:
    url = make_url(server)
    name = f"rm_bench_{uuid.uuid4().hex[:8]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))

    def drop() -> None:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()

    stack.callback(drop)
    return url.set(database=name).render_as_string(hide_password=False)


def _report(times: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in times.items()}
    bare, example = list(medians.values())[:2]
    print(f"{'variant':<34}{'ms per launch':>14}{'p95':>8}{'per second':>12}{'/ (a)':>8}{'/ (b)':>8}")
    for name, median in medians.items():
        p95 = statistics.quantiles(times[name], n=20)[18]
        print(
            f"{name:<34}{median * 1000:>14.2f}{p95 * 1000:>8.2f}{1 / median:>12.0f}"
            f"{median / bare:>8.2f}{median / example:>8.2f}"
        )


if __name__ == "__main__":
    main()

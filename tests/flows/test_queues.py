"""Several real workers on each queue that `RM_QUEUE_URL` can name: they are woken, and do nothing twice."""

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import replace

import psycopg
import pytest
import redis
from sqlalchemy import make_url, select

from rmplugin.credits.models import CreditEntry, Delivery
from rmplugin.wiring import make_runtime, make_worker, utc_now
from tests.factories.commands import Commands
from tests.factories.credits import confirm_session, join_course, make_course, make_pair
from tests.fakes.ags_platform import AgsPlatform

SESSIONS = 3


def wait_for(condition, what: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


@pytest.fixture
def sqlite_queue(tmp_path):
    return f"sqlite:///{tmp_path / 'queue.sqlite3'}"


@pytest.fixture
def redis_queue(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen([shutil.which("redis-server"), *options], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)

    def answers() -> bool:
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    wait_for(answers, "Redis did not start")
    yield f"redis://127.0.0.1:{port}/0"
    client.close()
    server.terminate()
    server.wait(20)


@pytest.fixture
def postgresql_queue(database_url):
    """Give a database beside that of the test: the queue's tables are not ours."""
    server = make_url(database_url).set(drivername="postgresql")
    name = f"rm_queue_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield server.set(database=name).render_as_string(hide_password=False)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("redis", marks=pytest.mark.part("redis")),
        pytest.param("postgresql", marks=pytest.mark.only_on("postgresql")),
    ]
)
def settings(settings, request):
    return replace(settings, queue_url=request.getfixturevalue(f"{request.param}_queue"))


@pytest.fixture
def lms(runtime, tool_keys):
    with AgsPlatform(runtime, utc_now) as platform:
        for user in ("u-mentor", "u-mentee"):
            platform.enrol(user)
        yield platform


@pytest.fixture
def workers(settings, tool_keys):
    """Start two real workers, as somebody does on two machines."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RM_")}
    environ |= Commands.of(settings).environ
    command = [sys.executable, "-c", "from rmplugin.cli import main; main()", "worker"]
    started = [
        subprocess.Popen([*command, "--threads", "2"], env=environ, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    yield started
    for worker in started:
        worker.terminate()
    for worker in started:
        worker.wait(30)


def test_workers_when_there_are_two_are_woken_and_do_everything_once(settings, runtime, tenant, lms, workers):
    now = utc_now()
    with runtime.database.transaction(tenant.id) as db:
        course = make_course(db, now, lms.base, lms.line_item_url)
        pair = make_pair(db, now, context_id=course.context.id, min_sessions=4, min_minutes=240)
        join_course(db, course, pair.mentor, "u-mentor", now)
        join_course(db, course, pair.mentee, "u-mentee", now)
    page = make_runtime(settings)
    wake = make_worker(page)["work"]

    def states() -> set[str]:
        with runtime.database.transaction(tenant.id, write=False) as db:
            return set(db.scalars(select(Delivery.state)))

    try:
        for number in range(SESSIONS):
            with page.database.transaction(tenant.id) as db:
                confirm_session(db, pair, utc_now())
            for _ in workers:
                wake()
            score = 25 * (number + 1)
            wait_for(lambda score=score: set(lms.grades.values()) == {score}, f"{score} did not arrive")
        wait_for(lambda: page.queue.pending_count() == 0, "somebody was woken in vain")
        # A grade arrives before the worker has noted that it did.
        wait_for(lambda: states() <= {"delivered", "superseded"}, "an answer was not noted")
    finally:
        page.database.close()
        page.queue.storage.close()
    assert all(worker.poll() is None for worker in workers)
    with runtime.database.transaction(tenant.id, write=False) as db:
        awards = Counter((entry.session_id, entry.person_id) for entry in db.scalars(select(CreditEntry)))
    assert (len(awards), set(awards.values())) == (2 * SESSIONS, {1})
    assert len(lms.pushes) == len({(user, given) for user, given, *_ in lms.pushes})

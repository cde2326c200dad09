"""PostgreSQL itself crashes and recovers while workers are at work: afterwards everything is there once."""

import os
import signal
import time

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from rmplugin import migrations
from tests.factories.schedules import Schedule
from tests.fakes.forked_workers import FileSink, Forker
from tests.fakes.watched_platform import WatchedPlatform
from tests.postgres import cluster, find_binaries

pytestmark = [pytest.mark.part("postgresql"), pytest.mark.only_on("postgresql")]


@pytest.fixture
def database_url():
    """Run a cluster of our own: a crash disturbs nobody else."""
    with cluster(find_binaries()) as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            # A test cluster may forget the last commits in a crash, a real one may not.
            connection.execute(text("ALTER DATABASE postgres SET synchronous_commit = on"))
        engine.dispose()
        engine = create_engine(url)
        migrations.upgrade(engine)
        engine.dispose()
        yield url


@pytest.fixture
def plugins():
    return [FileSink()]


@pytest.fixture
def forker():
    forker = Forker()
    yield forker
    forker.close()


def crash(runtime) -> None:
    """Kill one server process, as a lack of memory does: the server ends all others and recovers."""
    url = make_url(runtime.database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGKILL)
        connection.close()
    runtime.database.engine.dispose()
    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < until, "the server did not come back"
            time.sleep(0.02)
        else:
            return


def test_database_when_it_crashes_under_the_workers_loses_and_doubles_nothing(
    runtime, tool_keys, clock, forker, tmp_path
):
    forker.install(runtime.settings)
    with WatchedPlatform(runtime, clock) as lms:
        schedule = Schedule("crash", runtime, clock, lms, forker, tmp_path)
        ends = []
        for number in range(8):
            schedule.confirm()
            worker = schedule.start()
            time.sleep(0.02 * number)
            crash(runtime)
            # A worker that lost its database ends with an error; huey starts the next round a minute later.
            ends.append(forker.wait(schedule.workers[worker]))
            schedule.killed.add(worker)
            clock.forward(minutes=11)
        assert any(ends), "no crash met a worker at work"
        schedule.recover()

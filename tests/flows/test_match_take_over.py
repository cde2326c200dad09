"""A matching whose process is killed: the next command takes it over; one that is at work is left alone."""

import subprocess
import sys
import uuid

import pytest
from sqlalchemy import select

from rmplugin.errors import ConflictError
from rmplugin.matching import tasks
from rmplugin.matching.models import MatchRun
from tests.factories.commands import Commands
from tests.factories.matching import make_scene

# What `rmplugin match run` does, with a plug-in that keeps the engine waiting.
RUN = """
import sys, time, uuid
from pathlib import Path
from rmplugin.api import hookimpl
from rmplugin.wiring import make_runtime
from rmplugin.matching import tasks
from rmplugin.programmes.queries import get_programme
from rmplugin.settings import Settings

class Slow:
    key, title, most = "slow", "Slow", 0
    def points(self, mentor, mentee):
        return mentor["rank"] * 0
    def allows(self, mentor, mentee):
        print("computing", flush=True)
        time.sleep(60)

class Plugin:
    @hookimpl
    def rm_register_match_criteria(self):
        return [Slow()]

folder, database_url, key, tenant_id, programme_id = sys.argv[1:]
settings = Settings(
    data_dir=Path(folder), database_url=database_url, queue_url=f"sqlite:///{folder}/queue.sqlite3",
    public_url="http://localhost:5000", secret_key=key, smtp_url=None, log_format="text", trusted_proxies=0,
)
runtime = make_runtime(settings, plugins=[Plugin()])
with runtime.database.transaction(uuid.UUID(tenant_id), write=False) as db:
    programme = get_programme(db, uuid.UUID(programme_id))
tasks.run_at_once(runtime, uuid.UUID(tenant_id), programme, None, "all")
"""


@pytest.fixture
def scene(runtime, tenant):
    return make_scene(runtime, tenant, "Ana Ben", "Pia")


@pytest.fixture
def rm(settings, scene):
    return Commands.of(settings)


@pytest.fixture
def started(settings, scene):
    """Start a matching in a process of its own, and give it when it is in the middle of computing."""
    arguments = (
        *(settings.data_dir, settings.database_url, settings.secret_key),
        *(scene.tenant.id, scene.programme.id),
    )
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert any("computing" in line for line in process.stdout)
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def runs_of(scene):
    with scene.transaction() as db:
        return db.scalars(select(MatchRun).order_by(MatchRun.created_at, MatchRun.id)).all()


def test_run_while_another_process_computes_it_is_refused_with_what_to_do(scene, rm, started):
    said = rm("match", "run", scene.programme.id)
    assert said.code == 1
    for words in ("is being computed", "Nothing was changed", "rmplugin worker", "rmplugin match run"):
        assert words in said.err
    # The worker's round leaves it alone, too, and computes it once nobody does.
    tasks.run_queued(scene.runtime)
    assert [run.state for run in runs_of(scene)] == ["queued"]
    started.kill()
    started.wait(10)
    tasks.run_queued(scene.runtime)
    assert [run.state for run in runs_of(scene)] == ["solved"]


def test_run_when_its_process_was_killed_is_computed_by_the_next_command(scene, rm, started):
    started.kill()
    started.wait(10)
    before = runs_of(scene)[0]
    assert before.state == "queued"
    document = rm.do("match", "run", scene.programme.id, "--json").json
    assert (document["run_id"], document["state"], document["pairs"]) == (str(before.id), "solved", 1)
    assert len(runs_of(scene)) == 1
    rm.do("match", "release", document["run_id"])


def test_run_that_was_left_and_was_something_else_is_replaced(scene, rm, app, tenant):
    left = scene.queue()
    document = rm.do("match", "run", scene.programme.id, "--objective=fair", "--json").json
    assert (document["state"], document["objective"]) == ("solved", "fair")
    states = {run.id: run.state for run in runs_of(scene)}
    assert states == {left: "dropped", uuid.UUID(document["run_id"]): "solved"}
    # A worker that comes later does nothing to the one that was thrown away.
    tasks.run(scene.runtime, tenant.id, left)
    assert {run.id: run.state for run in runs_of(scene)} == states


def test_run_that_a_page_asked_for_counts_from_when_it_is_taken_over(scene, clock, monkeypatch):
    run_id = scene.queue()

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    since = []
    for _attempt in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(tasks.operations, "record_proposals", die)
            with pytest.raises(KeyboardInterrupt):
                tasks.run(scene.runtime, scene.tenant.id, run_id)
        since.append(scene.get_run(run_id).metrics["since"])
        clock.forward(hours=2)
    assert since[0] < since[1]


def test_matching_that_this_process_computes_is_not_begun_twice(scene, tenant):
    run_id = scene.queue()
    with scene.runtime.database.hold(tasks.HELD, scene.programme.id) as held:
        assert held
        tasks.run(scene.runtime, tenant.id, run_id)
        with pytest.raises(ConflictError, match="run_queued"):
            tasks.run_at_once(scene.runtime, tenant.id, scene.programme, None, "all")
    assert scene.get_run(run_id).state == "queued"
    tasks.run(scene.runtime, tenant.id, run_id)
    assert scene.get_run(run_id).state == "solved"

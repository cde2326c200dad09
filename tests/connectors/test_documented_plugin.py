"""The example of docs/plugins.md, installed as a third party would, runs a roster from end to end."""

import json
import os
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
import responses

from rmplugin.errors import ConflictError, InputError
from rmplugin.jobs import work_outbox
from rmplugin.mailing import operations as mailing
from rmplugin.matching import changes, operations, queries, releasing
from rmplugin.people.models import Person
from tests.factories.matching import make_scene
from tests.factories.pairs import make_pair
from tests.rules.source import ROOT

DOCUMENT = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
PEOPLE = """10007|Grace|Brewster|grace@example.com|G9|
10042|Ada|Byron|ada@example.com|G1|10007
broken line
10043|Alan|Mathison||G1|10042
"""


def code(language: str, holding: str = "") -> str:
    """Give the one block of the document that is written in a language and holds some words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if holding in block)
    return block


@pytest.fixture
def command(tmp_path, database_url):
    """Run `rmplugin` in a folder where the example is installed: ``command("hris", "list")``."""
    site, home = tmp_path / "site", tmp_path / "home"
    project = tomllib.loads(code("toml"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    home.mkdir()
    (site / "acme_people.py").write_text(code("python", "rm_register_hris_connectors"), encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["rmplugin"]
    lines = "\n".join(f"{name} = {module}" for name, module in points.items())
    (info / "entry_points.txt").write_text(f"[rmplugin]\n{lines}\n")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RM_")} | {
        "PYTHONPATH": str(site),
        "RM_DATA_DIR": str(tmp_path / "data"),
        "RM_DATABASE_URL": database_url,
    }

    def run(*arguments: str) -> str:
        program = str(Path(sys.executable).parent / "rmplugin")
        done = subprocess.run(
            [program, *arguments],
            cwd=home,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.home, run.site, run.environ = home, site, environ
    return run


def test_example_when_installed_reads_a_roster_and_hears_of_it(command):
    (command.home / "people.txt").write_text(PEOPLE, encoding="utf-8")
    command("init", "--tenant", "acme", "--name", "Acme")
    assert "acme_people" in {found["key"] for found in json.loads(command("hris", "connectors", "--json"))}
    command(
        "hris", "add", "staff", "--connector", "acme_people", "--set", "path=people.txt", "--rank", "G1=0"
    )
    assert json.loads(command("hris", "check", "staff", "--json"))[0]["ok"] is True
    run = json.loads(command("hris", "sync", "staff", "--accept-shrink", "--json"))
    assert (run["status"], run["created"]) == ("complete", 3)
    assert run["skipped"][0]["ref"] == "line 3"
    again = json.loads(command("hris", "sync", "staff", "--json"))
    assert (again["created"], again["unchanged"]) == (0, 3)
    person = json.loads(command("person", "show", "10042", "--json"))
    assert "Ada" in json.dumps(person)


@pytest.fixture
def plugins() -> list[types.ModuleType]:
    """Give the documented criterion and the documented channel as plug-ins."""
    houses, wall = types.ModuleType("acme_houses"), types.ModuleType("acme_wall")
    exec(code("python", "rm_register_match_criteria"), houses.__dict__)
    exec(code("python", "rm_register_notifiers"), wall.__dict__)
    return [houses, wall]


@responses.activate
def test_channel_when_registered_as_documented_gets_the_news(runtime, tenant):
    pair = make_pair(runtime, tenant)
    posted = responses.post("https://wall.acme.example/posts", status=201)
    with pair.transaction() as db:
        values = {"notifier": "acme_wall", "name": "Hall"}
        settings = {"url": "https://wall.acme.example"}
        mailing.add_channel(
            db, pair.programme, values, settings, runtime.database.secrets, "test", runtime.clock()
        )
        mailing.tell_news(
            db, pair.programme, {"title": "Kick-off", "words": "On Monday"}, "test", runtime.clock()
        )
    work_outbox(runtime, slow=True)
    assert json.loads(posted.calls[0].request.body) == {
        "head": "Kick-off",
        "body": "On Monday",
        "link": "http://localhost:5000",
    }


def test_criterion_when_registered_as_documented_counts_in_a_run_and_takes_pairs_out(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    with scene.transaction() as db:
        for name, site in (("Ana", "Lyon"), ("Ben", "Oslo"), ("Pia", "Lyon"), ("Qin", "Plant")):
            db.get_one(Person, scene.people[name].id).location = site
    run_id = scene.run()
    (pair,) = scene.proposals(run_id).items()
    assert (pair[0], pair[1].contributions["one_house"]) == (("Ana", "Pia"), 5_000)
    assert sum(pair[1].contributions.values()) == pair[1].score
    assert scene.get_run(run_id).metrics["criteria"] == {"one_house": "Both work in one house"}
    left = {entry["person"]: entry["reason"] for entry in scene.left_out(run_id)}
    assert left[str(scene.Qin.id)] == "criterion"


def test_criterion_when_it_comes_to_bar_a_pair_keeps_it_from_pin_release_and_start(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia Qin")
    criteria = runtime.plugins.criteria.values()

    def move(name: str, site: str | None) -> None:
        with scene.transaction() as db:
            db.get_one(Person, scene.people[name].id).location = site

    run_id = scene.run()
    move("Qin", "Plant")
    other = scene.Ben if ("Ana", "Qin") in scene.live(run_id) else scene.Ana
    with scene.transaction() as db:
        run = queries.get_run(db, run_id)
        with pytest.raises(InputError) as refused:
            operations.pin_pair(db, run, other.id, scene.Qin.id, "command", runtime.clock(), criteria)
    assert "plug-in" in str(refused.value.message_for_user)
    with scene.transaction() as db:
        run = queries.get_run(db, run_id)
        assert releasing.release_run(db, run, "command", runtime.clock(), criteria) == (1, 1)
    ((names, proposal),) = [
        (pair, row) for pair, row in scene.proposals(run_id).items() if row.state == "released"
    ]
    move("Pia", "Plant")
    with scene.transaction() as db:
        row = queries.get_proposal(db, proposal.id)
        for name in names:
            operations.answer(db, row, scene.people[name].id, True, None, runtime.clock(), criteria)
        assert (row.state, row.reasons["left_out"]) == ("void", ["criterion"])


def test_criterion_when_it_comes_to_bar_a_dropped_pair_keeps_it_from_coming_back(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    criteria = tuple(runtime.plugins.criteria.values())
    row = scene.proposals(scene.run())["Ana", "Pia"]

    def restore() -> str:
        with scene.transaction() as db:
            proposal = queries.get_proposal(db, row.id)
            changes.restore(db, proposal, "command", runtime.clock(), criteria)
            return proposal.state

    with scene.transaction() as db:
        changes.drop(db, queries.get_proposal(db, row.id), "command", runtime.clock())
    for site, state in (("Plant", "dropped"), (None, "proposed")):
        with scene.transaction() as db:
            db.get_one(Person, scene.Pia.id).location = site
        if state == "proposed":
            assert restore() == state
            continue
        with pytest.raises(ConflictError) as refused:
            restore()
        assert "plug-in" in str(refused.value.message_for_user)
        assert scene.proposals(row.run_id)["Ana", "Pia"].state == state


def test_contract_when_run_over_the_example_is_kept(command):
    tests = command.home / "test_acme_people.py"
    tests.write_text(code("python", "ConnectorContract"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        cwd=command.home,
        env=command.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout

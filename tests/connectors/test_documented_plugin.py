"""The examples of docs/plugins.md, installed as a third party would, run from end to end."""

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

from rmplugin.destinations.operations import add_account
from rmplugin.errors import ConflictError, InputError
from rmplugin.jobs import work_outbox
from rmplugin.mailing import operations as mailing
from rmplugin.matching import changes, operations, queries, releasing
from rmplugin.people.models import Person
from tests.factories.matching import make_scene
from tests.factories.pairs import make_pair
from tests.flows.test_event_sinks import Ledger
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


def install(site: Path, name: str, version: str, points: dict[str, str], modules: dict[str, str]) -> None:
    """Lay modules and what a package says of itself into a folder, as pip does."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "\n".join(f"{point} = {module}" for point, module in points.items())
    (info / "entry_points.txt").write_text(f"[rmplugin]\n{lines}\n")


@pytest.fixture
def command(tmp_path, database_url):
    """Run `rmplugin` in a folder where the examples are installed: ``command("hris", "list")``."""
    site, home = tmp_path / "site", tmp_path / "home"
    project = tomllib.loads(code("toml"))["project"]
    people = {"acme_people": code("python", "rm_register_hris_connectors")}
    install(site, project["name"], project["version"], project["entry-points"]["rmplugin"], people)
    academy = {"acme_academy": code("python", "rm_register_completion_sinks")}
    install(site, "acme-academy", "1.0", {"acme_academy": "acme_academy"}, academy)
    home.mkdir()
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
    """Give the documented criterion, channel and sink as plug-ins."""
    houses, wall = types.ModuleType("acme_houses"), types.ModuleType("acme_wall")
    exec(code("python", "rm_register_match_criteria"), houses.__dict__)
    exec(code("python", "rm_register_notifiers"), wall.__dict__)
    school = types.ModuleType("acme_school")
    exec(code("python", "rm_register_completion_sinks"), school.__dict__)
    return [houses, wall, school]


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


@pytest.mark.parametrize(
    ("name", "holding", "passed"),
    [("test_acme_people", "ConnectorContract", 10), ("test_acme_academy", "CreditSinkContract", 10)],
)
def test_contract_when_run_over_an_example_is_kept(command, name, holding, passed):
    tests = command.home / f"{name}.py"
    tests.write_text(code("python", f"import {holding}"), encoding="utf-8")
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
    assert f"{passed} passed" in done.stdout


@pytest.fixture
def academy(command, monkeypatch):
    """Run the documented stand-in for the academy."""
    monkeypatch.syspath_prepend(str(command.site))
    module = types.ModuleType("test_acme_academy")
    exec(code("python", "import CreditSinkContract"), module.__dict__)
    place = module.Academy()
    with place.server:
        yield place


def test_sink_when_installed_as_documented_can_be_connected_and_checked(command, academy):
    command("init", "--tenant", "acme", "--name", "Acme")
    (kind,) = json.loads(command("sink", "kinds", "acme_academy", "--json"))
    assert kind["takes_back"] is True
    (command.home / "token").write_text("quiet", encoding="utf-8")
    url = f"url={academy.server.url}"
    command(
        *("sink", "add", "academy", "--connector", "acme_academy"),
        *("--set", url, "--set-secret", "token=@token"),
    )
    assert json.loads(command("sink", "check", "academy", "--json"))[0]["ok"] is True
    assert academy.entries == {}


def test_sink_when_registered_as_documented_is_told_of_sessions_and_of_what_is_taken_back(
    runtime, tenant, clock, academy
):
    ledger = Ledger(runtime, tenant, clock)
    sink, box = runtime.plugins.credit_sinks["acme_academy"], runtime.database.secrets
    with ledger.db() as db:
        for person in (ledger.pair.mentor, ledger.pair.mentee):
            db.get_one(Person, person.id).employee_number = str(person.id)
        add_account(db, "academy", sink, academy.settings, box, clock())
    ledger.confirm(2)
    while ledger.work():
        pass
    assert len(academy.entries) == 4
    ledger.take_back()
    while ledger.work():
        pass
    assert len(academy.entries) == 3
    assert ledger.states() == ["delivered"] * 5

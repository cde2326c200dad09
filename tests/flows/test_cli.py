"""The command line as its user calls it: exit codes, words, JSON documents."""

import json
import os
import re
import subprocess
import sys
import uuid
from datetime import date
from importlib.metadata import entry_points

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, select, text

from rmplugin import plugins
from rmplugin.cli import rmplugin
from rmplugin.credits.models import Delivery
from rmplugin.credits.tasks import deliver_due
from rmplugin.jobs import work_outbox
from rmplugin.matching.models import MatchRun
from rmplugin.people.models import Person
from rmplugin.tenants.models import HrAccount, LtiDeployment, LtiPlatform
from tests.factories.commands import Commands
from tests.factories.credits import confirm_session, make_pair
from tests.factories.credits import make_person as make_worker
from tests.factories.people import make_leader, make_person
from tests.fakes.lti_platform import LtiPlatform as StrictPlatform
from tests.fakes.lti_platform import make_key

# What every kind of failure must spare its reader.
UGLY = re.compile(r"Traceback|rmplugin/\w+\.py|sqlalchemy|\[parameters|\{'|\['", re.IGNORECASE)


@pytest.fixture
def rm(settings, runtime):
    """Give the commands of an installation that is ready."""
    commands = Commands.of(settings)
    commands.do("init", "--tenant", "acme", "--name", "Acme")
    return commands


@pytest.fixture
def db(runtime, rm):
    """Open transactions on the rows of the only company."""
    from rmplugin.tenants.queries import get_tenant

    with runtime.database.transaction(None, write=False) as common:
        tenant = get_tenant(common, "acme")
    return lambda: runtime.database.transaction(tenant.id)


def refused(said, *words, code=1):
    """Check that a command failed as it should and said so in plain words."""
    assert said.code == code, said.text
    assert not UGLY.search(said.text), said.text
    for word in words:
        assert word in said.err, said.text
    return said


def commands_of(group, path=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands_of(command, (*path, name))
        else:
            yield (*path, name)


# ---- help, settings, set-up ----


@pytest.mark.parametrize("path", list(commands_of(rmplugin)), ids=" ".join)
def test_help_when_asked_shows_an_example_that_the_command_takes(path):
    said = Commands().do(*path, "--help")
    assert "Example" in said.out
    assert f"rmplugin {' '.join(path)}" in re.sub(r"\s+", " ", said.out.partition("Example")[2])


def test_command_when_unknown_or_wrongly_called_ends_with_two():
    for arguments in ([], ["nonsense"], ["platform", "add", "--name", "x"], ["match", "show", "no-id"]):
        assert Commands()(*arguments).code == 2


def test_command_when_run_as_a_program_ends_with_its_code(settings, rm):
    environ = {**os.environ, **rm.environ}
    program = [sys.executable, "-c", "from rmplugin.cli import main; main()"]

    done = subprocess.run(
        [*program, "doctor", "--json"], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    # A finding that needs mending is a failure for scripts, too.
    assert done.returncode == 1, done.stderr
    assert "platforms" in {line["what"] for line in json.loads(done.stdout)}


def test_settings_when_unknown_or_wrong_are_all_listed_at_once(rm):
    said = refused(rm("keys", "list", RM_TYPO="1", RM_LOG_FORMAT="xml"), "RM_TYPO", "RM_LOG_FORMAT")
    assert said.out == ""
    refused(rm("keys", "list", RM_DATABASE_URL="nonsense"), "RM_DATABASE_URL")
    refused(rm("keys", "list", RM_QUEUE_URL="amqp://x"), "RM_QUEUE_URL")
    refused(rm("keys", "list", RM_SECRET_KEY="short"), "RM_SECRET_KEY")


def test_database_when_unreachable_is_said_without_its_password(rm):
    url = "postgresql://user:geheim@127.0.0.1:9/x"
    said = refused(rm("platform", "list", RM_DATABASE_URL=url), "rmplugin doctor")
    doctor = rm("doctor", RM_DATABASE_URL=url)
    assert doctor.code == 1
    assert "check RM_DATABASE_URL" in doctor.out
    assert "geheim" not in said.text + doctor.text


def test_init_when_run_on_a_bare_folder_makes_all_that_is_needed_and_twice_changes_nothing(tmp_path):
    rm = Commands(RM_DATA_DIR=str(tmp_path / "data"))
    refused(rm("platform", "list"), "rmplugin init")
    rm.do("init", "--tenant", "acme")
    key = (tmp_path / "data" / "secret.key").read_bytes()
    keys = rm.do("keys", "list", "--json").json
    assert [(row["use"], row["state"]) for row in keys] == [
        ("launches", "current"), ("launches", "next"), ("badges", "signing")
    ]  # fmt: skip
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o077 == 0

    rm.do("init")
    assert (tmp_path / "data" / "secret.key").read_bytes() == key
    assert rm.do("keys", "list", "--json").json == keys
    # An upgrade added no second company, so nobody has to say which one is meant.
    assert rm.do("platform", "list", "--json").json == []
    refused(rm("init", "--tenant", "Two Words"), "small letters", code=2)


def test_commands_when_there_are_two_companies_ask_for_one(rm):
    rm.do("init", "--tenant", "rival")
    refused(rm("platform", "list"), "--tenant", "acme, rival")
    rm.do("platform", "list", "--tenant", "rival")
    refused(rm("platform", "list", "--tenant", "nobody"), "There is no tenant 'nobody'")


def test_database_when_not_migrated_is_said(tmp_path, settings):
    url = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    rm = Commands(RM_DATA_DIR=str(tmp_path), RM_DATABASE_URL=url, RM_SECRET_KEY=settings.secret_key)
    refused(rm("platform", "list"), "rmplugin init")
    found = {line["what"]: line["ok"] for line in rm("doctor", "--json").json}
    assert found == {"database": True, "migrations": False}


def test_keys_when_rotated_move_on(rm):
    before = {row["state"]: row["kid"] for row in rm.do("keys", "list", "--json").json}
    refused(rm("keys", "rotate"), "Nothing was changed", "--now")
    assert {row["state"]: row["kid"] for row in rm.do("keys", "list", "--json").json} == before
    rm.do("keys", "rotate", "--now")
    after = {row["state"]: row["kid"] for row in rm.do("keys", "list", "--json").json}
    assert (after["retiring"], after["current"]) == (before["current"], before["next"])
    assert after["next"] not in before.values()


# ---- platforms, doctor ----

ADD = (
    "platform", "add", "--name=moodle", "--family=moodle", "--client-id=AbC", "--issuer=https://moodle.example",
    "--auth-url=https://moodle.example/auth", "--token-url=https://moodle.example/token",
)  # fmt: skip


def test_platform_when_added_prints_what_the_lms_wants_and_can_be_listed_and_removed(rm, db):
    jwks = "--jwks-url=https://moodle.example/jwks"
    document = rm.do(*ADD, jwks, "--deployment-id=1", "--json").json
    assert set(document) == {"name", "issuer", "client_id", "deployments", "tool"}
    assert document["tool"] == {
        "login_url": "http://localhost:5000/lti/login",
        "launch_url": "http://localhost:5000/lti/launch",
        "jwks_url": "http://localhost:5000/lti/jwks",
    }
    refused(rm(*ADD, jwks), "registered already", "Nothing was changed")
    listed = rm.do("platform", "list", "--json").json
    assert [(row["name"], row["deployments"]) for row in listed] == [("moodle", {"1": "approved"})]
    assert "1: approved" in rm.do("platform", "list").out

    with db() as rows:
        platform = rows.scalars(select(LtiPlatform)).one()
        pending = LtiDeployment(
            platform_id=platform.id, deployment_id="7", state="pending", first_seen_at=platform.created_at
        )
        rows.add(pending)
    assert "7" in rm.do("platform", "approve", "moodle").out
    assert rm.do("platform", "approve", "moodle").out == "No deployment was waiting.\n"

    refused(rm("platform", "remove", "moodle", typed="n\n"))
    assert len(rm.do("platform", "list", "--json").json) == 1
    rm.do("platform", "remove", "moodle", typed="y\n")
    assert rm.do("platform", "list", "--json").json == []
    refused(rm("platform", "remove", "moodle", "--yes"), "There is no platform 'moodle'")


MOODLE_PAGE = (
    "Platform ID:\thttps://moodle.example\nClient ID:\tAbCdEfGhIjKlMn1\nDeployment ID:\t36\n"
    "Public keyset URL:\thttps://moodle.example/mod/lti/certs.php\n"
)


def test_platform_when_added_from_what_the_lms_prints_is_read_and_options_win(rm, db, tmp_path):
    page = tmp_path / "page.txt"
    page.write_text(MOODLE_PAGE)
    document = rm.do("platform", "add", "--name=m", f"--from={page}", "--client-id=mine", "--json").json
    assert (document["client_id"], document["deployments"]) == ("mine", ["36"])
    rm.do("platform", "add", "--name=n", "--from=-", typed=MOODLE_PAGE)
    assert {row["family"] for row in rm.do("platform", "list", "--json").json} == {"moodle"}
    refused(rm("platform", "add", "--name=x", "--from=-", typed="hello"), "issuer", "could not be found")
    page.write_bytes(b"\xff\xfe\xff")
    assert rm("platform", "add", "--name=x", f"--from={page}").code == 2
    missing = rm("platform", "add", "--name=x", "--issuer=https://lms.example")
    assert missing.code == 2
    assert "--client-id" in missing.text


def test_platform_when_changed_keeps_what_is_not_named(rm, db):
    rm.do("platform", "add", "--name=m", "--from=-", "--allow-anonymous", typed=MOODLE_PAGE)
    sources = ("--identity-source=email", "--identity-source=sourcedid")
    rm.do("platform", "change", "m", *sources, "--no-allow-anonymous", "--token-url=https://moodle.example/t")
    with db() as rows:
        row = rows.scalars(select(LtiPlatform)).one()
        assert (row.identity_sources, row.allow_anonymous) == (["email", "sourcedid"], False)
        assert (row.token_url, row.family) == ("https://moodle.example/t", "moodle")
    refused(rm("platform", "change", "m", "--jwks-url=nowhere"), "jwks_url must be a full address")
    assert rm("platform", "change", "m").code == 2


def test_platform_when_invited_prints_an_address_and_when_it_expires(rm):
    document = rm.do("platform", "invite", "--name=moodle", "--json").json
    assert set(document) == {"url", "expires_at"}
    assert document["url"].startswith("http://localhost:5000/lti/register/")
    assert "/lti/register/" in rm.do("platform", "invite").out
    rm.do("platform", "add", "--name=moodle", "--from=-", typed=MOODLE_PAGE)
    refused(rm("platform", "invite", "--name=moodle"), "registered already")


def test_deployment_when_it_waits_can_be_refused(rm, db):
    rm.do("platform", "add", "--name=m", "--from=-", typed=MOODLE_PAGE)
    with db() as rows:
        platform = rows.scalars(select(LtiPlatform)).one()
        waiting = LtiDeployment(
            platform_id=platform.id, deployment_id="7", state="pending", first_seen_at=platform.created_at
        )
        rows.add(waiting)
    rm.do("platform", "refuse", "m", "7")
    refused(rm("platform", "refuse", "m", "7"), "There is no deployment '7'")
    refused(rm("platform", "refuse", "m", "36"), "approved already")


def test_platform_when_an_address_is_wrong_is_not_added(rm):
    refused(rm(*ADD, "--jwks-url=moodle.example/jwks"), "jwks_url must be a full address")
    assert rm.do("platform", "list", "--json").json == []


def test_doctor_when_something_is_missing_or_broken_lists_it(rm, clock, tmp_path):
    with StrictPlatform(make_key("one"), lambda: {"keys": []}, clock) as lms:
        rm.do(*ADD, f"--jwks-url={lms.base}/jwks")
        path = tmp_path / "people.csv"
        path.write_text("employee_number,display_name,grade\n1,Ada Byron,G1\n")
        rm.do("hris", "add", "people", "--connector=csv_file", f"--set=path={path}", "--rank=G1=10")
        found = {line["what"]: line for line in rm("doctor", "--json").json}
        # Nothing listens at these addresses, nobody has launched, and the account was never read.
        missing = {
            *("public URL", "platform moodle: access token", "platform moodle: course"),
            "HR account people: runs",
        }
        assert {what for what, line in found.items() if not line["ok"]} == missing, found
        assert set(found) >= {
            "database", "migrations", "queue", "keys", "worker",
            "platform moodle: key set", "HR account people",
        }  # fmt: skip
        path.unlink()
    broken = rm("doctor")
    assert broken.code == 1
    assert "FIX  platform moodle: key set" in broken.out
    assert "does not answer with a key set" in broken.out
    assert "compare 'Public keyset URL'" in broken.out
    assert f"There is no file {path}" in broken.out
    check = rm("platform", "check", "moodle", "--json")
    assert (check.code, {line["ok"] for line in check.json}) == (1, {False})
    refused(rm("platform", "check", "canvas"), "There is no platform 'canvas'")


# ---- HR ----

COUNTS = ("seen", "created", "updated", "unchanged", "deactivated", "reactivated")
SYNC_KEYS = {"run_id", "status", "mode", *COUNTS, "skipped", "held_reason", "cursor", "seconds"}


def write_people(path, count, grade="G1"):
    lines = ["employee_number,display_name,email,grade,hire_date"]
    lines += [f"{n},Person {n},p{n}@x.example,{grade},2025-01-01" for n in range(1, count + 1)]
    path.write_text("\n".join(lines))


@pytest.fixture
def people(rm, tmp_path):
    path = tmp_path / "people.csv"
    write_people(path, 20)
    rm.do("hris", "add", "people", "--connector=csv_file", f"--set=path={path}", "--rank=G1=10")
    return path


def test_hris_when_settings_are_wrong_lists_every_fault_by_name(rm):
    base = ("hris", "add", "people", "--connector")
    refused(rm(*base, "nope"), "no HR connector 'nope'", "csv_file")
    said = refused(
        rm(*base, "csv_file", "--set=mapping.bad=x", "--set=encoding=ebcdic", "--set=nope=1"),
        "mapping.bad: ", "encoding: ", "nope: ", "path: ",
    )  # fmt: skip
    assert "Nothing was changed" in said.err
    for expected in (
        "Known are city, cost_center,", 'Choose one of "auto", "utf-8",', "path: This setting is needed. (",
    ):  # fmt: skip
        assert expected in said.err
    typed = refused(rm(*base, "csv_file", "--set=path=/x", "--set=mapping=x", "--set=full=maybe"))
    assert "mapping: This takes pairs: mapping.KEY=VALUE." in typed.err
    assert "full: Give true or false." in typed.err
    refused(rm(*base, "csv_file", "--set", "path"), "KEY=VALUE", code=2)
    refused(rm(*base, "csv_file", "--set=path=/x", "--set=path.y=1"), "path.y", code=2)
    refused(rm(*base, "csv_file", "--set=path=/x", "--rank=G1"), "GRADE=RANK", code=2)
    refused(rm(*base, "csv_file", "--set=path=/x", "--rank=G1=high"), "0 to 100", code=2)
    refused(rm(*base, "csv_file", "--set=path=/x", "--rank=G1=500"), "0 to 100", code=2)
    assert rm.do("hris", "list", "--json").json == []
    assert "csv_file" in {row["key"] for row in rm.do("hris", "connectors", "--json").json}


def test_hris_set_when_a_mapping_was_wrong_changes_it_and_keeps_the_rest(rm, people):
    rm.do("hris", "set", "people", "--set=mapping.email=Wrong", "--set=delimiter=;", "--set=mapping.grade=G")
    assert "mapping.email = Wrong" in rm.do("hris", "set", "people").out
    rm.do("hris", "set", "people", "--set=mapping.email=Right", "--unset=delimiter")
    rm.do("hris", "set", "people", "--unset=mapping.grade")
    settings = {"path": str(people), "mapping": {"email": "Right"}}
    assert rm.do("hris", "set", "people", "--json").json["settings"] == settings
    refused(rm("hris", "set", "people", "--set=delimeter=;"), "delimeter: There is no such setting")
    refused(rm("hris", "set", "people", "--unset=sheet"), "--unset sheet", code=2)
    refused(rm("hris", "set", "people", "--set=password=x"), "--set-secret password", code=2)
    assert rm.do("hris", "set", "people", "--json").json["settings"] == settings


def test_hris_connectors_when_read_by_people_say_what_each_setting_wants(rm):
    said = rm.do("hris", "connectors", "csv_file").out
    for line in (
        "path",
        "needed",
        "default %Y-%m-%d",
        "one of: auto  number  email  name",
        "[secret] text of",
    ):
        assert line in said
    assert "bamboohr" not in said
    assert "bamboohr: BambooHR" in rm.do("hris", "connectors").out
    refused(rm("hris", "connectors", "nope"), "no HR connector 'nope'")


def test_hris_when_ranks_come_from_a_file_takes_them(rm, db, tmp_path):
    ranks, wrong = tmp_path / "ranks.csv", tmp_path / "wrong.csv"
    ranks.write_text("grade,rank\nG 1,10\nG.2,20\n")
    wrong.write_bytes("grade,rank\nJunior für alle,1\n".encode("cp1252"))
    add = ("hris", "add", "people", "--connector=csv_file", "--set=path=/x")
    refused(rm(*add, f"--ranks-file={wrong}"), "not UTF-8")
    rm.do(*add, f"--ranks-file={ranks}", "--rank=A=b=3")
    with db() as rows:
        assert rows.scalars(select(HrAccount)).one().grade_ranks == {"G 1": 10, "G.2": 20, "A=b": 3}
    refused(rm(*add), "exists already")


VAULT = """
import marshmallow as ma
from rmplugin.api import Capabilities, CheckResult, hookimpl

class Settings(ma.Schema):
    url = ma.fields.String(required=True)
    token = ma.fields.String(required=True, metadata={"secret": True})

class Vault:
    key, title, settings_schema, capabilities = "vault", "Vault", Settings, Capabilities()
    def check(self, settings):
        return [CheckResult("Token", settings["token"] == "s3cr3t-word", "")]
    def read(self, settings, cursor):
        yield from ()

@hookimpl
def rm_register_hris_connectors():
    return [Vault()]
"""


@pytest.fixture
def vault(tmp_path, monkeypatch):
    """Install a plug-in whose settings hold a secret, as a package would be."""
    folder = tmp_path / "site"
    (folder / "rm_vault-1.dist-info").mkdir(parents=True)
    (folder / "rm_vault.py").write_text(VAULT)
    (folder / "rm_vault-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: rm-vault\nVersion: 1\n"
    )
    (folder / "rm_vault-1.dist-info" / "entry_points.txt").write_text("[rmplugin]\nvault = rm_vault\n")
    monkeypatch.syspath_prepend(folder)
    # Elsewhere in the suite the packages are asked once only.
    monkeypatch.setattr(plugins, "entry_points", entry_points)
    yield
    sys.modules.pop("rm_vault", None)


def test_secrets_when_given_are_never_plain_arguments_and_are_kept_encrypted(
    rm, vault, database_url, tmp_path
):
    add = ("hris", "add", "safe", "--connector=vault", "--set=url=https://hr.example")
    assert {row["key"]: row["secrets"] for row in rm.do("hris", "connectors", "--json").json}["vault"] == [
        "token"
    ]
    refused(rm(*add, "--set=token=s3cr3t-word"), "--set-secret token", code=2)
    refused(rm(*add, "--set-secret=token=s3cr3t-word"), "never a plain argument", code=2)
    refused(rm(*add, "--set-secret=token=@/nowhere"), "cannot be read", code=2)
    refused(rm(*add, "--set-secret=token=$NOT_THERE"), "never a plain argument", code=2)
    (tmp_path / "token").write_text("s3cr3t-word\n")
    for name, options in (("file", {}), ("variable", {"HR_TOKEN": "s3cr3t-word"})):
        where = f"@{tmp_path / 'token'}" if name == "file" else "$HR_TOKEN"
        said = rm.do(
            "hris", "add", name, "--connector=vault", "--set=url=https://hr.example",
            f"--set-secret=token={where}", **options,
        )  # fmt: skip
        assert "s3cr3t" not in said.text
        assert rm.do("hris", "check", name, "--json").json[0]["ok"] is True
        rm.do("hris", "set", name, f"--set-secret=token={where}", **options)
        for told in (["set", name], ["set", name, "--json"], ["list", "--json"], ["runs", name, "--json"]):
            assert "s3cr3t" not in rm.do("hris", *told).text
    engine = create_engine(database_url)
    with engine.connect() as connection:
        stored = connection.execute(text("select settings, secrets_locked from hr_account")).all()
    engine.dispose()
    assert len(stored) == 2
    assert "s3cr3t" not in str(stored)


def test_secret_when_asked_for_is_not_shown(rm, vault):
    answer = CliRunner().invoke(
        rmplugin,
        ["hris", "add", "safe", "--connector=vault", "--set=url=https://hr.example", "--set-secret=token"],
        input="s3cr3t-word\n",
        env=rm.environ,
    )
    assert answer.exit_code == 0, answer.output
    assert "s3cr3t" not in answer.output
    assert rm.do("hris", "check", "safe", "--json").json[0]["ok"] is True


def test_sync_when_done_gives_the_documented_document(rm, people, db):
    rm.do("hris", "check", "people")
    dry = rm.do("hris", "sync", "people", "--dry-run", "--json").json
    assert set(dry) == SYNC_KEYS
    assert (dry["created"], dry["run_id"]) == (20, None)
    assert rm.do("hris", "runs", "--json").json == []

    preview = rm("hris", "sync", "people", "--json")
    assert (preview.code, preview.json["status"]) == (1, "held")
    assert preview.json["held_reason"].startswith(
        "This is the first reading of this account: 20 people would be added. Nobody was changed."
    )
    first = rm.do("hris", "sync", "people", "--accept-shrink", "--json").json
    assert set(first) == SYNC_KEYS
    assert (first["status"], first["mode"], first["held_reason"]) == ("complete", "full", None)
    assert [first[name] for name in COUNTS] == [20, 20, 0, 0, 0, 0]
    again = rm.do("hris", "sync", "people", "--full", "--json").json
    assert [again[name] for name in COUNTS] == [20, 0, 0, 20, 0, 0]
    runs = rm.do("hris", "runs", "people", "--json").json
    assert [run["run_id"] for run in runs] == [
        again["run_id"],
        first["run_id"],
        preview.json["run_id"],
    ]
    refused(rm("hris", "runs", "other"), "There is no HR account 'other'")

    refused(rm("hris", "remove", "people", typed="n\n"))
    rm.do("hris", "remove", "people", "--yes")
    with db() as rows:
        assert rows.scalars(select(Person)).all() == []


def test_sync_when_rows_are_bad_lists_them_and_takes_the_others(rm, people):
    people.write_text(people.read_text() + "\n21,Person 21,p21@x.example,G7,yesterday\n")
    said = rm.do("hris", "sync", "people", "--accept-shrink")
    assert "row 22" in said.out
    assert "hire_date" in said.out
    assert "20 created" in said.out


def test_sync_when_a_grade_has_no_rank_says_so(rm, people):
    write_people(people, 3, grade="G7")
    assert (
        "'G7' has no rank (3 people): rmplugin hris ranks people"
        in rm.do("hris", "sync", "people", "--accept-shrink").err
    )


@pytest.mark.parametrize("left", [0, 12])
def test_sync_when_the_file_shrank_is_held_changes_nobody_and_says_what_to_do(rm, people, db, left):
    rm.do("hris", "sync", "people", "--accept-shrink")
    write_people(people, left)

    held = rm("hris", "sync", "people", "--json")
    assert (held.code, held.json["status"]) == (1, "held")
    assert "rmplugin hris sync people --accept-shrink" in held.json["held_reason"]
    assert "Nobody was changed" in rm("hris", "sync", "people").out
    with db() as rows:
        assert {row.status for row in rows.scalars(select(Person))} == {"active"}

    accepted = rm.do("hris", "sync", "people", "--accept-shrink", "--json").json
    assert (accepted["status"], accepted["deactivated"]) == ("complete", 20 - left)


def test_sync_when_the_source_cannot_be_read_fails_in_words(rm, people):
    people.unlink()
    said = rm("hris", "sync", "people", "--json")
    assert (said.code, said.json["status"]) == (1, "failed")
    assert "Nobody was changed" in said.json["held_reason"]
    refused(rm("hris", "sync", "other"), "There is no HR account 'other'")


# ---- programmes and matching ----

HEADING = "employee_number,role,offers,wants,languages,motivation,motivation_level,time_zone"


@pytest.fixture
def programme(rm):
    said = rm.do(
        "programme", "create", "--template=digital_fluency", "--name=Digital 2027",
        "--set=session_minutes=45", "--open", "--json",
    )  # fmt: skip
    assert set(said.json) == {"id", "name", "template", "state"}
    return said.json


@pytest.fixture
def enrolments(db, tmp_path):
    """Write a file that enrols two mentors and one mentee, and has one bad row."""
    with db() as rows:
        for number in ("10", "11"):
            make_person(rows, employee_number=number, hire_date=date(2026, 3, 2))
        make_leader(rows, employee_number="20", hire_date=date(2010, 3, 1))
    path = tmp_path / "enrolments.csv"
    offers, wants = "Generative AI tools:4", "Company strategy:2:1"
    lines = [f"{n},mentor,{offers},{wants},en,Yes,4,Europe/Berlin" for n in (10, 11)]
    lines.append("20,mentee,Company strategy:4,Generative AI tools:3:1,en,Yes,4,Europe/Berlin")
    lines.append("99,mentor,,,en,,3,Europe/Berlin")
    path.write_text("\n".join([HEADING, *lines]))
    return path


def test_programme_when_created_can_be_listed_and_wrong_settings_are_named(rm, programme):
    assert "digital_fluency" in {row["key"] for row in rm.do("programme", "templates", "--json").json}
    listed = rm.do("programme", "list", "--json").json
    assert [(row["name"], row["state"]) for row in listed] == [("Digital 2027", "enrolling")]
    assert not UGLY.search(rm.do("programme", "list").out)
    create = ("programme", "create", "--template")
    refused(rm(*create, "nope", "--name=X"), "digital_fluency")
    wrong = rm(*create, "digital_fluency", "--name=X", "--set=session_minutes=long", "--set=what=1")
    refused(wrong, "session_minutes", "what", "Nothing was created")
    refused(rm(*create, "digital_fluency", "--name=Digital 2027"), "name already")


def test_enrolments_when_imported_count_and_list_the_bad_rows(rm, programme, enrolments, tmp_path):
    said = rm("programme", "import-enrolments", "Digital 2027", enrolments, "--json")
    # Rows that were left out are a failure for scripts, but the others are in.
    assert said.code == 1
    assert {name: said.json[name] for name in ("seen", "created", "updated")} == {
        "seen": 4, "created": 3, "updated": 0,
    }  # fmt: skip
    assert [row["ref"] for row in said.json["skipped"]] == ["row 5"]
    assert "row 5" in rm("programme", "import-enrolments", programme["id"], enrolments).out
    refused(rm("programme", "import-enrolments", "Other", enrolments), "There is no programme")
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEADING}\n1,mentor,Jürgen".encode("cp1252"))
    refused(rm("programme", "import-enrolments", "Digital 2027", latin), "not UTF-8")
    assert rm("programme", "import-enrolments", "Digital 2027", tmp_path / "nowhere.csv").code == 2


def test_match_when_run_shows_explains_and_releases(rm, programme, enrolments, db):
    rm("programme", "import-enrolments", "Digital 2027", enrolments)
    assert "1 pair of 2 mentors and 1 mentee," in rm.do("match", "run", "Digital 2027").out
    run = rm.do("match", "run", "Digital 2027", "--json").json
    assert set(run) >= {
        "run_id", "programme", "mentors", "mentees", "pairs", "objective", "total_score", "optimality",
        "unmatched", "metrics", "seconds",
    }  # fmt: skip
    assert (run["mentors"], run["mentees"], run["pairs"], run["objective"]) == (2, 1, 1, "total")
    assert run["optimality"] == {"proved": True, "gap": 0.0}
    assert [
        set(entry) >= {"person", "role", "reason", "candidates_removed_by"} for entry in run["unmatched"]
    ] == [True]
    shown = rm.do("match", "show", run["run_id"], "--json").json
    pair = shown["proposals"][0]
    assert pair["state"] == "proposed"
    # The two mentors fit equally well; which one it is depends on their ids.
    explained = rm.do("match", "explain", run["run_id"], pair["mentor"]["id"], "20", "--json").json
    assert explained["proposed"] is True
    assert explained["score"] == run["total_score"]
    other = run["unmatched"][0]["person"]
    absent = rm.do("match", "explain", run["run_id"], other, "20", "--json").json
    total = run["total_score"]
    # The other one fits as well, so nothing would be lost.
    assert (absent["proposed"], absent["barred_by"], absent["score"]) == (False, [], total)
    assert absent["effect"] == dict.fromkeys(("total_score", "total_score_with", "best", "best_with"), total)
    human = rm.do("match", "explain", run["run_id"], "10", "20").out
    assert not UGLY.search(human), human
    refused(rm("match", "explain", run["run_id"], "10", "nobody"), "There is no person 'nobody'")

    assert "Released 1 proposals; 0 were left out" in rm.do("match", "release", run["run_id"]).out
    assert rm.do("match", "show", run["run_id"], "--json").json["proposals"][0]["state"] == "released"
    refused(rm("match", "release", run["run_id"]))
    refused(rm("match", "run", "Other"), "There is no programme 'Other'")
    assert rm("match", "run", "Digital 2027", "--objective=best").code == 2
    with db() as rows:
        assert len(rows.scalars(select(MatchRun)).all()) == 2


def test_match_when_read_by_people_names_them_and_adds_up(rm, programme, enrolments):
    rm("programme", "import-enrolments", "Digital 2027", enrolments)
    run = rm.do("match", "run", "Digital 2027", "--json").json
    run_id, pair = run["run_id"], rm.do("match", "show", run["run_id"], "--json").json["proposals"][0]
    mentor, mentee, left = pair["mentor"], pair["mentee"], run["unmatched"][0]["person"]

    shown = rm.do("match", "show", run_id).out
    assert re.search(rf"{mentor['name']} +{mentee['name']} +{pair['score']:,} +proposed", shown)
    other = rm.do("person", "show", left, "--json").json["display_name"]
    assert f"{other} (mentor): One of the mentees would fit, but all places there went" in shown
    assert left not in shown

    chosen = rm.do("match", "explain", run_id, mentor["id"], "20").out
    assert f"{mentor['name']} teaches {mentee['name']}" in chosen
    points = [int(found.replace(",", "")) for found in re.findall(r"^  \D+ +([\d,]+)$", chosen, re.MULTILINE)]
    assert points == [*pair["contributions"].values(), pair["score"]]
    assert "Generative AI tools: covered (wants 3, offered 4)" in chosen
    assert "Languages in common: English." in chosen
    assert f"is the only mentee whom {mentor['name']} could meet." in chosen
    assert "best of the 2 mentors" in chosen

    missed = rm.do("match", "explain", run_id, left, "20").out
    assert f"{other} and {mentee['name']} are no pair of this run." in missed
    assert f"With this pair put in, the total would at once stay at {pair['score']:,} points." in missed
    assert "The best set of pairs with it is worth as much as the best one without" in missed
    assert f"{mentor['name']} teaches {mentee['name']}: {pair['score']:,} points" in missed

    swapped = rm.do("match", "explain", run_id, "20", "11").out
    assert "takes part in this programme as a mentee." in swapped
    assert f"rmplugin match explain {run_id} 11 20" in swapped
    assert not UGLY.search(shown + chosen + missed + swapped)


def test_match_of_those_who_wait_before_any_release_says_that_it_is_a_whole_run(rm, programme, enrolments):
    rm("programme", "import-enrolments", "Digital 2027", enrolments)
    whole = "this was a run over the whole pool"
    assert whole in rm.do("match", "run", "Digital 2027", "--waiting").out
    run = rm.do("match", "run", "Digital 2027", "--waiting", "--json").json
    assert (run["scope"], run["pairs"]) == ("waiting", 1)
    assert whole not in rm.do("match", "run", "Digital 2027").out


def test_values_when_they_name_nothing_are_repeated_and_examples_are_of_the_command(rm, programme, tmp_path):
    refused(rm("match", "show", "0190aaaa-0000-7000-8000-000000000000"), "match run '0190aaaa-0000")
    refused(rm("match", "rules", "show", "Digital 2027", "--version=7"), "There is no rule set '7'")
    for command in ("set", "preview"):
        said = rm("match", "rules", command, "Digital 2027", "--set", "coverage")
        refused(said, "for example --set coverage=50000", code=2)
    created = rm("programme", "create", "--template=digital_fluency", "--name=X", "--set=rank")
    refused(created, "for example --set session_minutes=45", code=2)
    lines = tmp_path / "lines.csv"
    lines.write_text("person,other,kind\nnobody@x.example,1,dotted\n,1,dotted\n")
    said = rm("person", "side-lines", lines, "--json")
    assert (said.code, [(row["ref"], row["reason"]) for row in said.json["skipped"]]) == (
        1,
        [("row 2", "nobody has this employee number, e-mail address or id"), ("row 3", "nobody is named")],
    )


def test_rules_when_set_are_previewed_versioned_listed_and_named_by_runs(rm, programme, enrolments):
    rm("programme", "import-enrolments", "Digital 2027", enrolments)
    rules = ("match", "rules")
    first = rm.do(*rules, "show", "Digital 2027", "--json").json
    assert (first["version"], first["state"], first["weights"]["coverage"]) == (1, "live", 60_000)
    tried = rm.do(*rules, "preview", "Digital 2027", "--set=min_common_minutes=600", "--json").json
    assert (tried["mentors"], tried["mentees"], tried["pairs"]) == (2, 1, 0)
    assert rm.do(*rules, "preview", "Digital 2027", "--json").json["pairs"] == 2
    refused(rm(*rules, "set", "Digital 2027", "--set=answer_days=99"), "answer_days: Give a whole number")
    refused(rm(*rules, "set", "Digital 2027", "--set=colour=red"), "no setting of this name")
    assert len(rm.do(*rules, "list", "Digital 2027", "--json").json) == 1
    draft = rm.do(*rules, "set", "Digital 2027", "--set=answer_days=3", "--draft", "--json").json
    assert (draft["version"], draft["state"]) == (2, "draft")
    assert rm.do(*rules, "show", "Digital 2027", "--version=2", "--json").json["options"]["answer_days"] == 3
    assert rm.do(*rules, "live", "Digital 2027", "2", "--json").json["state"] == "live"
    run = rm.do("match", "run", "Digital 2027", "--seed=7", "--json").json
    assert run["rule_set"]["version"] == 2
    assert "version 2 of the rules" in rm.do("match", "show", run["run_id"]).out
    human = rm.do(*rules, "list", "Digital 2027").out
    assert not UGLY.search(human), human


def test_release_when_nobody_answered_is_withdrawn_by_command(rm, programme, enrolments):
    rm("programme", "import-enrolments", "Digital 2027", enrolments)
    run_id = rm.do("match", "run", "Digital 2027", "--json").json["run_id"]
    rm.do("match", "release", run_id)
    refused(rm("match", "run", "Digital 2027", "--waiting"), "On one side nobody waits")
    assert "Took back 1 proposals." in rm.do("match", "withdraw", run_id).out
    refused(rm("match", "withdraw", run_id), "is not released")
    assert rm.do("match", "show", run_id, "--json").json["state"] == "solved"


@pytest.mark.parametrize("objective", ["total", "fair", "stable"])
def test_objective_when_chosen_is_computed_and_its_price_is_told(rm, programme, enrolments, objective):
    rm("programme", "import-enrolments", "Digital 2027", enrolments)
    said = rm("match", "run", "Digital 2027", f"--objective={objective}", "--json")
    assert (said.code, said.json["state"], said.json["objective"]) == (0, "solved", objective)
    assert said.json["optimality"] == {"proved": True, "gap": 0.0}
    prices = said.json["metrics"]["objectives"]
    assert set(prices) == {"total", "fair", "stable"}
    assert prices["total"]["price"] == 0
    assert prices[objective]["total_score"] == said.json["total_score"]
    assert rm("match", "run", "Digital 2027", "--objective=best").code == 2


# ---- credits ----


@pytest.fixture
def confirmed(runtime, db, clock):
    """Confirm one session of a pair whose programme is in no course yet."""
    with db() as rows:
        mentor = make_worker(rows, clock.now, employee_number="77", display_name="=Mira", seniority_rank=10)
        pair = make_pair(rows, clock.now, mentor=mentor)
        confirm_session(rows, pair, clock.now, 60)
    return pair


def test_credits_when_delivered_and_blocked_are_shown_listed_and_sent_again(rm, confirmed, db):
    # The round of the command is the worker's: events first, then what is due.
    assert rm.do("credits", "deliver", "--json").json == {"states": {}, "open": 0}
    person = rm.do("credits", "show", "77", "--json").json
    assert (person["person"], person["minutes"]) == ("77", 60)
    assert [entry["kind"] for entry in person["entries"]] == ["award"]
    told = rm.do("credits", "show", "77").out
    assert "60 minutes that count" in told
    assert f"{confirmed.programme.name}: {person['programmes'][0]['percent']} %" in told
    refused(rm("credits", "show", "78"), "A person is named by employee number, work address or id.")

    rows = rm.do("credits", "deliveries", "--state=blocked", "--json").json
    assert len(rows) == 2
    assert set(rows[0]) >= {
        "id", "sink", "person", "state", "attempts", "last_status", "last_error", "remote_ref", "sent_at",
    }  # fmt: skip
    assert "not open in a course yet" in rm.do("credits", "deliveries").out
    refused(
        rm("credits", "retry", rows[0]["id"]), "What is missing: The programme is not open in a course yet."
    )
    with db() as stored:
        # Something else blocked it.
        stored.get(Delivery, uuid.UUID(rows[0]["id"])).last_error = "You are not enrolled."
    assert "sent with the worker's next round" in rm.do("credits", "retry", rows[0]["id"]).out
    pending = rm.do("credits", "deliveries", "--state=pending", "--json").json
    assert [row["id"] for row in pending] == [rows[0]["id"]]
    assert rm.do("credits", "deliver").out == "Nothing was due.\n"
    refused(rm("credits", "retry", "0190aaaa-0000-7000-8000-000000000000"), "There is no delivery")
    assert rm("credits", "retry", "not-an-id").code == 2
    with db() as stored:
        for row in stored.scalars(select(Delivery)):
            row.state = "delivered"
    refused(rm("credits", "retry", rows[0]["id"]), "arrived already")


def test_credits_when_taken_back_or_adjusted_need_a_reason_and_are_shown(rm, confirmed):
    rm.do("credits", "deliver")
    (entry,) = rm.do("credits", "show", "77", "--json").json["entries"]
    refused(rm("credits", "reverse", entry["id"], "--reason", " "), "Please write why")
    back = rm.do("credits", "reverse", entry["id"], "--reason", "It was a lunch.", "--json").json
    assert (back["reverses"], back["minutes"]) == (entry["id"], -60)
    refused(rm("credits", "reverse", entry["id"], "--reason", "Once more."), "was taken back before")
    refused(
        rm("credits", "reverse", "0190aaaa-0000-7000-8000-000000000000", "--reason", "Who?"),
        "There is no credit entry",
    )
    programme = confirmed.programme.name
    rm.do("credits", "adjust", "77", programme, "--minutes", "45", "--reason", "A workshop.")
    refused(
        rm("credits", "adjust", "77", programme, "--minutes", "-46", "--reason", "Gone."),
        "There are 45 minutes",
    )
    shown = rm.do("credits", "show", "77", "--json").json
    assert shown["minutes"] == 45
    assert {(line["kind"], line["minutes"], line["reason"]) for line in shown["entries"]} == {
        ("award", 60, None),
        ("reversal", -60, "It was a lunch."),
        ("adjustment", 45, "A workshop."),
    }
    assert "adjustment" in rm.do("credits", "show", "77").out


def test_credits_when_exported_are_csv_that_no_spreadsheet_runs(rm, confirmed, runtime):
    work_outbox(runtime)
    deliver_due(runtime)
    lines = rm.do("credits", "export", "--format", "csv").out.splitlines()
    assert lines[0].startswith("entry_id,kind,employee_number,name")
    assert len(lines) == 3
    assert any(",77,'=Mira," in line for line in lines)
    told = rm.do("credits", "export", "--format", "cornerstone").out.splitlines()
    assert told[0].startswith("User ID,Training Title,Start Date/Time,Transcript Status")
    assert any(line.startswith("77,") and ",Completed," in line for line in told)
    assert rm("credits", "export", "--format", "xml").code == 2


def test_person_when_shown_is_one_document(rm, confirmed):
    document = rm.do("person", "show", "77", "--json").json
    assert (document["employee_number"], document["display_name"]) == ("77", "=Mira")
    assert json.dumps(document)
    refused(rm("person", "show", "nobody@x.example"), "There is no person")


def test_fault_when_nobody_expected_it_is_one_line_without_peoples_data(rm, monkeypatch):
    def fail(_db):
        raise KeyError("ada@company.example")

    monkeypatch.setattr("rmplugin.tenants.queries.list_platforms", fail)
    said = rm("platform", "list")
    assert said.code == 1
    assert "KeyError" in said.err
    assert "ada@" not in said.text
    assert "Traceback" not in said.text

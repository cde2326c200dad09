"""The catalogue of skills: files of ESCO, O*NET and a company, and picking from it."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from rmplugin.audit import AuditEntry
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.people.models import Skill
from rmplugin.programmes import operations as programmes
from rmplugin.programmes.queries import skills_of_programme
from rmplugin.skills import files, operations, queries
from tests.factories.browser import Browser
from tests.factories.commands import Commands
from tests.factories.people import make_person, make_skill
from tests.factories.programmes import make_context, make_programme

ESCO = """conceptType,conceptUri,skillType,preferredLabel,altLabels,status
KSC,http://data.europa.eu/esco/skill/1,skill/competence,"manage staff, calmly","lead
people",released
KSC,http://data.europa.eu/esco/skill/2,knowledge,Haskell,,released
KSC,http://data.europa.eu/esco/skill/3,knowledge,Old thing,,obsolete
"""
ONET = (
    "O*NET-SOC Code\tElement ID\tElement Name\tScale ID\tData Value\n"
    "11-1011.00\t2.A.1.a\tReading Comprehension\tIM\t4.12\n"
    "11-1011.00\t2.A.1.a\tReading Comprehension\tLV\t4.75\n"
    '11-1011.03\t2.A.1.b\tActive "Listening\tIM\t4.0\n'
)
OWN = """Name;Kind;Theme
Kiln firing;skill;Technology
Night shifts;perspective;people
Strange;talent;people
;skill;people
"""


@pytest.fixture
def db(database, tenant):
    with database.transaction(tenant.id) as db:
        yield db


def take(db, text, clock, **options):
    return operations.import_skills(db, text, options.pop("form", None), "command", clock.now, **options)


def test_esco_when_taken_in_keeps_scheme_and_code_and_leaves_the_obsolete_out(db, clock):
    report = take(db, ESCO, clock)
    assert (report.format, report.scheme, report.created, report.skipped) == ("esco", "esco", 2, [])
    rows = {row.name: row for row in db.scalars(select(Skill))}
    assert rows["manage staff, calmly"].code == "http://data.europa.eu/esco/skill/1"
    assert {row.scheme for row in rows.values()} == {"esco"}
    assert {row.theme for row in rows.values()} == {"general"}


def test_onet_when_a_skill_stands_there_per_occupation_takes_it_in_once(db, clock):
    report = take(db, ONET, clock)
    assert (report.format, report.seen, report.created) == ("onet", 3, 2)
    assert db.scalars(select(Skill.name).order_by(Skill.code)).all() == [
        "Reading Comprehension", 'Active "Listening',
    ]  # fmt: skip


def test_own_table_when_rows_are_bad_lists_them_without_their_words(db, clock):
    report = take(db, OWN, clock, scheme="pottery")
    assert (report.scheme, report.created) == ("pottery", 2)
    assert [(row["ref"], row["field"]) for row in report.skipped] == [("row 4", "kind"), ("row 5", "name")]
    row = db.scalars(select(Skill).where(Skill.name == "Night shifts")).one()
    assert (row.kind, row.theme, row.code) == ("perspective", "people", "night shifts")


@pytest.mark.parametrize("text", [ESCO, ONET, OWN], ids=["esco", "onet", "own"])
def test_file_when_taken_in_again_changes_nothing(db, clock, text):
    take(db, text, clock)
    before = {row.id: (row.name, row.scheme, row.code) for row in db.scalars(select(Skill))}
    report = take(db, text, clock)
    assert (report.created, report.renamed, report.adopted) == (0, 0, 0)
    assert {row.id: (row.name, row.scheme, row.code) for row in db.scalars(select(Skill))} == before


def test_skill_of_our_own_when_a_catalogue_has_its_name_gets_the_code_and_stays_chosen(db, clock):
    programme = make_programme(db, own_skills="haskell | technology")
    report = take(db, ESCO, clock)
    assert (report.created, report.adopted) == (1, 1)
    (row,) = [one for one in skills_of_programme(db, programme.id) if one.scheme == "esco"]
    assert (row.name, row.theme, row.code) == ("haskell", "technology", "http://data.europa.eu/esco/skill/2")


def test_name_when_changed_in_its_catalogue_is_followed_and_a_taken_one_is_left(db, clock):
    take(db, ESCO, clock)
    report = take(db, ESCO.replace("Haskell", "Haskell (language)"), clock)
    assert (report.renamed, report.created) == (1, 0)
    make_skill(db, "OCaml")
    report = take(db, ESCO.replace("Haskell", "OCaml"), clock)
    assert (report.renamed, report.unchanged) == (0, 1) or report.renamed == 0


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=12))
def test_any_table_when_taken_in_twice_is_as_once_and_every_row_is_accounted_for(
    database, tenant, clock, rows
):
    import csv

    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["name", "code"])
    writer.writerows((name.replace("\x00", ""), code.replace("\x00", "")) for name, code in rows)
    with database.transaction(tenant.id) as db:
        take(db, out.getvalue(), clock, form="csv")
        count = db.scalar(select(func.count(Skill.id)))
        again = take(db, out.getvalue(), clock, form="csv")
        assert (again.created, again.adopted) == (0, 0)
        assert db.scalar(select(func.count(Skill.id))) == count


def test_thousands_of_rows_when_taken_in_are_found_by_search(db, clock):
    rows = [f"http://e/{n},skill number {n}" for n in range(14_000)]
    report = take(db, "conceptUri,preferredLabel\n" + "\n".join(rows), clock)
    assert report.created == 14_000
    programme = make_programme(db)
    found = queries.search(db, programme.id, "NUMBER 13999")
    assert [row.name for row in found] == ["skill number 13999"]
    assert len(queries.search(db, programme.id, "skill")) == queries.FOUND_SHOWN
    assert queries.search(db, programme.id, " ") == []
    assert queries.search(db, programme.id, "100%") == []


@pytest.mark.parametrize("form", files.FORMATS)
def test_file_when_the_columns_are_others_is_refused_with_those_wanted(db, clock, form):
    with pytest.raises(InputError, match="must name these columns"):
        take(db, "a,b\n1,2\n", clock, form=form)


def test_command_when_run_twice_reports_as_json_and_changes_nothing(settings, database, tenant, tmp_path):
    path = tmp_path / "skills_en.csv"
    path.write_text(ESCO, encoding="utf-8-sig")
    run = Commands.of(settings)
    first = run.do("skills", "import", path, "--format", "esco", "--json").json
    assert (first["created"], first["scheme"]) == (2, "esco")
    assert run.do("skills", "import", path, "--json").json["unchanged"] == 2
    assert run.do("skills", "list", "--json").json == {"esco": 2}
    path.write_text(OWN)
    said = run("skills", "import", path)
    assert (said.code, "row 4" in said.text) == (1, True)
    assert run("skills", "import", path, "--scheme", "esco").code == 2
    path.write_bytes(b"name\n\xff\xfe")
    assert run("skills", "import", path).code == 1


def test_page_when_a_file_is_sent_takes_it_in(admin: Browser, database, tenant):
    admin.get("/admin/skills")
    form = next(form for form in admin.forms() if "/admin/skills" in form["action"])
    hidden = {name: values[0] for name, values in form["fields"].items() if name.startswith("_")}
    headers = {"X-Rm-Session": admin.token}
    data = hidden | {"form": "", "scheme": "company", "file": (io.BytesIO(ESCO.encode()), "skills_en.csv")}
    answer = admin.client.post("/admin/skills", data=data, headers=headers, follow_redirects=True)
    assert "2 skills are new" in answer.get_data(as_text=True)
    admin.get("/admin/skills").submit("/admin/skills")
    assert (admin.status, "Choose a file first." in admin.says()) == (422, True)
    with database.transaction(tenant.id) as db:
        assert "skills.import" in db.scalars(select(AuditEntry.action)).all()


def test_catalogue_of_one_tenant_when_another_looks_is_not_there(database, tenant, other_tenant, clock):
    with database.transaction(tenant.id) as db:
        take(db, ESCO, clock)
    with database.transaction(other_tenant.id) as db:
        assert queries.count_by_scheme(db) == {}
        assert take(db, ESCO, clock).created == 2


@pytest.fixture
def context(database, tenant):
    with database.transaction(tenant.id) as db:
        return make_context(db)


def test_manager_when_picking_finds_adds_and_takes_out(sign_in, database, tenant, context, clock):
    with database.transaction(tenant.id) as db:
        take(db, ESCO, clock)
        programme = make_programme(db, context)
        names = {row.name: str(row.id) for row in db.scalars(select(Skill))}
    manager = sign_in(tenant, manager=True, context=context)
    path = f"/programmes/{programme.id}/skills"
    manager.get(f"{path}?q=haskell")
    assert "Haskell" in manager.says()
    manager.post(path, skills=[names["Haskell"]], q="haskell")
    assert "1 skills are added." in manager.says()
    assert "Nothing else in the catalogue" in manager.says()
    manager.post(f"{path}/drop", skill=names["Haskell"])
    assert "The skill is taken out." in manager.says()
    with database.transaction(tenant.id) as db:
        programmes.invite(db, programme, "command", clock.now, person_ids=[make_person(db).id])
    manager.post(f"{path}/drop", skill=names["Budgeting"])
    assert manager.status == 409
    assert "none can be taken out any more" in manager.get(path).says()


def test_pick_when_the_skill_is_another_tenants_is_not_found(database, tenant, other_tenant, clock):
    with database.transaction(other_tenant.id) as db:
        strange = make_skill(db, "Strange").id
    with database.transaction(tenant.id) as db:
        programme = make_programme(db)
        with pytest.raises(NotFoundError):
            operations.pick(db, programme, [strange], "command", clock.now)
        programme.state = "archived"
        with pytest.raises(ConflictError):
            operations.pick(db, programme, [], "command", clock.now)


def test_drop_when_only_two_are_left_is_refused(db, clock):
    programme = make_programme(db, skills=[], own_skills="One\nTwo")
    first = skills_of_programme(db, programme.id)[0]
    with pytest.raises(InputError):
        operations.drop(db, programme, first.id, "command", clock.now)

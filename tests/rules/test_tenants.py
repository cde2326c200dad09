"""No row of one tenant reaches another: models, sessions, and statements that go around the sessions."""

import ast
import contextlib
import re

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from rmplugin.db import Base, TenantOwned
from tests.factories.rows import ROWS, fill, import_models
from tests.rules.source import functions, names_in, parse, place, python_files

import_models()

# Tables that belong to no tenant: what is needed to find the tenant, and what is the same for all.
COMMON = {"tenant", "tool_key", "issuer_key", "lti_login", "lti_cache", "posted_form"}
# Found by its token before the tenant is known; its own column says whose it is.
# A launch attempt may name no registration at all; then it is nobody's.
FOUND_FIRST = {"web_session", "launch_attempt", "scim_token"}
# The only functions that may look over all tenants, and why.
UNBOUND = {
    "rmplugin/jobs.py:_due_events": "ids of due events, each worked on in its own tenant's session",
    "rmplugin/launches/views.py:on_launch": "finds the platform, then binds itself to its tenant",
    "rmplugin/launches/views.py:_record": "finds the platform of an accepted launch and writes its row there",
    "rmplugin/launches/views.py:_keep_attempt": "finds the tenant of a refused attempt by its registration",
    "rmplugin/tenants/store.py": "finds a registration by issuer and client id",
    "rmplugin/tenants/tasks.py": "examines the whole installation for `rmplugin doctor`; finds an invite",
    "rmplugin/hris/tasks.py": "ids of accounts that are due; finds one by its token; forgets old notices",
    "rmplugin/people/tasks.py:refresh_all_dates": "ids of tenants for whom a day has come, each alone",
    "rmplugin/programmes/tasks.py": "ids of courses whose members are read, each in its own tenant's session",
    "rmplugin/matching/tasks.py": "ids of queued runs and of tenants with proposals, each worked on alone",
    "rmplugin/reviews/tasks.py": "ids of programmes with pairs or reviews, each looked at alone",
    "rmplugin/freebusy/tasks.py:fetch_due": "ids of due calendars, each read in its own tenant's session",
    "rmplugin/mailing/tasks.py": "ids of due mails, tenants with new notices; forgets old mails",
    "rmplugin/calendars/tasks.py": "finds a feed by its token, then reads in its tenant's session",
    "rmplugin/credits/reconciling.py:compare_all": "ids of platforms, each in its own tenant's session",
    "rmplugin/papers/tasks.py:read_public": "finds a paper by its id, which its holder gives away",
    "rmplugin/credits/tasks.py": "ids of due deliveries, each delivered in its own tenant's session",
}
OWNED = sorted(
    (mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, TenantOwned)),
    key=lambda model: model.__name__,
)
OWNED_NAMES = {model.__name__ for model in OWNED}
OWNED_TABLES = {model.__tablename__ for model in OWNED}
# Functions whose plain statements look over all tenants on purpose, and why.
ACROSS = {
    "rmplugin/tenants/operations.py _sharing": "registrations of all with one issuer and client must agree",
    "rmplugin/tenants/operations.py _known_deployments": "a deployment belongs to one registration of all",
}
STATEMENTS = {"select", "insert", "update", "delete"}


def models_without_tenant() -> set[str]:
    """Give the tables that are neither owned by a tenant nor listed as common."""
    return set(Base.metadata.tables) - OWNED_TABLES - COMMON - FOUND_FIRST


def core_tables(tree: ast.Module) -> set[str]:
    """Give the names under which a module holds tables of tenants' rows: ``PERSON = Person.__table__``."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        tables = [
            item
            for item in ast.walk(node.value)
            if isinstance(item, ast.Attribute)
            and item.attr == "__table__"
            and isinstance(item.value, ast.Name)
            and item.value.id in OWNED_NAMES
        ]
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if tables:
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def goes_around_the_session(call: ast.Call, tables: set[str]) -> bool:
    """Tell whether a call makes a statement on tenants' rows to which the session adds no tenant."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name in ("text", "exec_driver_sql") and call.args and isinstance(call.args[0], ast.Constant):
        words = set(re.findall(r"\w+", str(call.args[0].value)))
        return bool(words & OWNED_TABLES) and bool(
            words & {"from", "FROM", "into", "INTO", "update", "UPDATE"}
        )
    if isinstance(call.func, ast.Attribute) and name in STATEMENTS:
        mentioned = names_in(call.func.value)
        return bool(mentioned & tables) or ("__table__" in mentioned and bool(mentioned & OWNED_NAMES))
    if name not in STATEMENTS or not call.args:
        return False
    mentioned = names_in(call.args[0])
    plain = bool(mentioned & tables) or ("__table__" in mentioned and bool(mentioned & OWNED_NAMES))
    # The session stamps objects that are added to it, but not a bulk insert.
    return plain or (name == "insert" and bool(mentioned & OWNED_NAMES))


def unbounded_statements(path) -> list[str]:
    tree = parse(path)
    tables = core_tables(tree)
    found = []
    for function in functions(tree):
        calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
        risky = [call for call in calls if goes_around_the_session(call, tables)]
        if f"{place(path)} {function.name}" in ACROSS:
            continue
        if risky and "tenant_id" not in names_in(function):
            found.append(f"{place(path, risky[0])} {function.name}")
    return found


@pytest.fixture
def two_companies(runtime, tenant, other_tenant):
    for company in (tenant, other_tenant):
        with runtime.database.transaction(None) as db:
            fill(db.connection(), Base.metadata, {"tenant": company.id})
    return tenant, other_tenant


def test_tables_when_made_belong_to_a_tenant_or_are_listed_as_common():
    assert models_without_tenant() == set()


def test_lists_when_read_name_tables_that_exist():
    assert set(Base.metadata.tables) >= COMMON | FOUND_FIRST
    assert len(OWNED) > 20


@pytest.mark.parametrize("model", OWNED, ids=lambda model: model.__name__)
def test_session_when_bound_reads_changes_and_deletes_its_own_rows_only(runtime, two_companies, model):
    mine, other = two_companies
    with runtime.database.transaction(mine.id, write=False) as db:
        assert {row.tenant_id for row in db.scalars(select(model))} == {mine.id}
    with runtime.database.unbound(write=False) as db:
        theirs = db.scalars(select(model.id).where(model.tenant_id == other.id)).all()
        assert len(theirs) == ROWS
    with runtime.database.transaction(mine.id) as db:
        assert db.get(model, theirs[0]) is None
        if model.__tablename__ != "credit_entry":
            assert db.execute(update(model).values(tenant_id=mine.id)).rowcount == ROWS
            # People and accounts that others refer to cannot be deleted at all.
            with contextlib.suppress(IntegrityError), db.begin_nested():
                db.execute(delete(model))
    with runtime.database.unbound(write=False) as db:
        counted = select(func.count()).select_from(model).where(model.tenant_id == other.id)
        assert db.scalar(counted) == ROWS


def test_session_when_bound_to_nobody_refuses_tenants_rows(runtime, tenant):
    with (
        pytest.raises(AssertionError, match="bound to a tenant"),
        runtime.database.transaction(None) as db,
    ):
        db.scalars(select(OWNED[0])).all()


def test_unbound_when_called_is_called_by_the_listed_few_only():
    callers = set()
    for path in python_files("rmplugin"):
        for function in functions(parse(path)):
            if "unbound" in names_in(function) and function.name != "unbound":
                callers.add((place(path), f"{place(path)}:{function.name}"))
    strangers = [where for file, where in callers if file not in UNBOUND and where not in UNBOUND]
    assert strangers == []
    assert callers


def test_statements_when_they_go_around_the_session_mention_the_tenant():
    found = [line for path in python_files("rmplugin") for line in unbounded_statements(path)]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "PERSON = Person.__table__\ndef bad(db):\n    db.execute(update(PERSON).values(x=1))\n",
        "def bad(db):\n    db.execute(select(Person.__table__))\n",
        "def bad(db):\n    db.execute(insert(Person), [])\n",
        "def bad(db):\n    db.execute(text('select id from person'))\n",
        "PERSON = Person.__table__\ndef bad(db):\n    db.execute(PERSON.delete())\n",
    ],
)
def test_statement_rule_when_a_statement_forgets_the_tenant_finds_it(code, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.rules.source.ROOT", tmp_path)
    path = tmp_path / "bad.py"
    path.write_text(code)
    assert [line.split()[-1] for line in unbounded_statements(path)] == ["bad"]
    good = tmp_path / "good.py"
    good.write_text(code + "    tenant_id = db.tenant_id\n")
    assert unbounded_statements(good) == []

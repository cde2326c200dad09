"""The administrator's pages on HR accounts, and the door for notices of HR systems."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import structlog
from flask import request

from rmplugin import web
from rmplugin.errors import ConflictError, InputError, NotAllowedError, NotFoundError
from rmplugin.hris import forms, operations, queries, tasks
from rmplugin.people import operations as people
from rmplugin.records import HrisConnector, WebhookReader
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import add_account as connect
from rmplugin.tenants.operations import check_settings
from rmplugin.tenants.queries import list_accounts
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

log = structlog.get_logger()
pages = web.Pages("hris", __name__)

# A worker that runs begins at once; after this time the page stops asking and says what may be wrong.
WORK_BEGINS = timedelta(minutes=2)
# A process that was killed cannot say so: after this time the page offers to read again, which never hurts.
READING_LASTS = timedelta(minutes=10)
LARGEST_NOTICE = 1_000_000
LISTED_SKIPS = 200


@pages.get("/admin/hr", role=Role.ADMINISTRATOR)
def accounts(visit: Visit) -> web.Answer:
    """List the connected HR systems, how each is, and what can be connected."""
    newest, asked_for = queries.newest_runs(visit.db), queries.runs_asked_for(visit.db)
    rows = []
    for account in list_accounts(visit.db):
        run = newest.get(account.id)
        event = asked_for.get(str(account.id))
        state, _facts = queries.state_of(visit.db, account, run, event, visit.now)
        rows.append((account, run, state))
    connectors = sorted(visit.runtime.plugins.connectors.values(), key=lambda c: c.title.casefold())
    titles = {connector.key: connector.title for connector in connectors}
    return web.render("hris/accounts.html", visit, rows=rows, connectors=connectors, titles=titles)


# -- settings ----------------------------------------------------------------------------------------------


@pages.get("/admin/hr/new/<connector_key>", role=Role.ADMINISTRATOR)
def new_account(visit: Visit, connector_key: str) -> web.Answer:
    """Show the form for a new account, made from what the connector asks for."""
    connector = visit.runtime.plugins.connector(connector_key)
    return web.render(
        "hris/settings.html", visit, connector=connector, account=None, fields=forms.settings_form(connector)
    )


@pages.post("/admin/hr/new/<connector_key>", role=Role.ADMINISTRATOR, on_input_error=new_account)
def add_account(visit: Visit, connector_key: str) -> web.Answer:
    """Connect an HR system."""
    connector = visit.runtime.plugins.connector(connector_key)
    settings, name = _typed(connector), ""
    faults: dict[str, Any] = {}
    try:
        name = web.load_form(forms.AccountForm())["name"]
    except InputError as error:
        faults |= error.details
    try:
        check_settings(connector, settings)
    except InputError as error:
        faults |= forms.field_errors(error.details)
    if faults:
        raise InputError("form_invalid", "Some answers need a change. Nothing was lost.", faults)
    secrets_box = visit.runtime.database.secrets
    try:
        account = connect(visit.db, name, connector, settings, {}, secrets_box, visit.now, visit.actor)
    except ConflictError as error:
        raise InputError(error.code, error.message_for_user, {"name": error.message_for_user}) from error
    operations.want_check(visit.db, account, visit.actor, visit.now)
    return web.go("hris.account", Text("%(name)s is added.", name=name), hr_account_id=account.id)


@pages.get("/admin/hr/<uuid:hr_account_id>/settings", role=Role.ADMINISTRATOR)
def settings(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Show an account's settings; secrets stay hidden."""
    account = queries.get_account(visit.db, hr_account_id)
    connector = visit.runtime.plugins.connector(account.connector)
    fields = forms.settings_form(connector, account.settings)
    return web.render("hris/settings.html", visit, connector=connector, account=account, fields=fields)


@pages.post("/admin/hr/<uuid:hr_account_id>/settings", role=Role.ADMINISTRATOR, on_input_error=settings)
def change_settings(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Change an account's settings and have the connection tried with them."""
    account = queries.get_account(visit.db, hr_account_id)
    connector = visit.runtime.plugins.connector(account.connector)
    secrets_box = visit.runtime.database.secrets
    try:
        operations.change_account(
            visit.db, account, connector, _typed(connector), secrets_box, visit.actor, visit.now
        )
    except InputError as error:
        raise InputError(error.code, error.message_for_user, forms.field_errors(error.details)) from error
    operations.want_check(visit.db, account, visit.actor, visit.now)
    return web.go("hris.account", "The settings are saved.", hr_account_id=account.id)


def _typed(connector: HrisConnector) -> dict[str, Any]:
    return forms.read_settings(connector, web.load_form(forms.typed_form(connector)))


# -- one account -------------------------------------------------------------------------------------------


@pages.get("/admin/hr/<uuid:hr_account_id>", role=Role.ADMINISTRATOR)
def account(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Show one account: what waits, the last check, the schedule, the fields, the last runs."""
    return _account(visit, queries.get_account(visit.db, hr_account_id))


def _account(visit: Visit, account: HrAccount, address: str | None = None) -> web.Answer:
    runs = queries.list_runs(visit.db, account.id)
    newest = runs[0][0] if runs else None
    event = queries.runs_asked_for(visit.db).get(str(account.id))
    state, facts = queries.state_of(visit.db, account, newest, event, visit.now)
    connector = visit.runtime.plugins.connectors.get(account.connector)
    every = "off" if account.schedule is None else str(account.schedule)
    options = dict(forms.SCHEDULES)
    if every not in options:
        options[every] = Text("every %(minutes)s minutes", minutes=every)
    checked_at = datetime.fromisoformat(account.checked["asked_at"]) if account.checked else None
    words = queries.words_of(visit.db, account, account.rank_by)
    return web.render(
        "hris/account.html",
        visit,
        account=account,
        connector=connector,
        runs=runs,
        newest=newest,
        state=state,
        facts=facts,
        stuck=state == "wanted" and visit.now - facts["asked_at"] > WORK_BEGINS,
        late=state == "running" and newest is not None and visit.now - newest.started_at > READING_LASTS,
        every=every,
        schedules=list(options.items()),
        checked_at=checked_at,
        checking=_is_fresh(account, checked_at, visit.now),
        coverage=queries.coverage(next((run for run, _skipped in runs if run.notes.get("blanks")), None)),
        has_doubles=bool(queries.doubles_of(visit.db, account.id, 1)),
        unmapped=sum(1 for word in words if word.rank is None),
        takes_notices=isinstance(connector, WebhookReader),
        address=address,
    )


def _is_fresh(account: HrAccount, checked_at: datetime | None, now: datetime) -> bool:
    asked = account.checked is not None and account.checked["results"] is None
    return asked and checked_at is not None and now - checked_at < WORK_BEGINS


@pages.post("/admin/hr/<uuid:hr_account_id>/check", role=Role.ADMINISTRATOR)
def check_now(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Let the worker try the connection."""
    account = queries.get_account(visit.db, hr_account_id)
    operations.want_check(visit.db, account, visit.actor, visit.now)
    return web.go("hris.account", hr_account_id=account.id)


@pages.post("/admin/hr/<uuid:hr_account_id>/read", role=Role.ADMINISTRATOR)
def read_now(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Let the worker read the whole roster; the first reading is a preview."""
    account = queries.get_account(visit.db, hr_account_id)
    operations.want_run(visit.db, account, visit.now, visit.actor, full=True)
    return web.go("hris.account", hr_account_id=account.id)


@pages.post("/admin/hr/<uuid:hr_account_id>/schedule", role=Role.ADMINISTRATOR, on_input_error=account)
def schedule(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Say how often the account is read."""
    account = queries.get_account(visit.db, hr_account_id)
    minutes = web.load_form(forms.ScheduleForm())["every"]
    operations.schedule_account(visit.db, account, minutes, visit.actor, visit.now)
    return web.go("hris.account", "The schedule is saved.", hr_account_id=account.id)


@pages.post("/admin/hr/<uuid:hr_account_id>/webhook", role=Role.ADMINISTRATOR)
def make_webhook(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Make the address for the HR system's notices; it is shown here and never again."""
    account = queries.get_account(visit.db, hr_account_id)
    if not isinstance(visit.runtime.plugins.connectors.get(account.connector), WebhookReader):
        raise ConflictError("no_notices", "This HR system sends no notices. Nothing was changed.")
    token = operations.make_webhook(visit.db, account, visit.actor, visit.now)
    return _account(visit, account, operations.webhook_address(visit.runtime.settings.public_url, token))


# -- runs --------------------------------------------------------------------------------------------------


@pages.get("/admin/hr/<uuid:hr_account_id>/runs/<uuid:roster_run_id>", role=Role.ADMINISTRATOR)
def run(visit: Visit, hr_account_id: uuid.UUID, roster_run_id: uuid.UUID) -> web.Answer:
    """Show one run: counts, what was skipped, and of a held one what accepting it would do."""
    row = queries.get_run(visit.db, hr_account_id, roster_run_id)
    open_run = queries.find_open_run(visit.db, hr_account_id)
    difference = row.notes.get("difference", {})
    return web.render(
        "hris/run.html",
        visit,
        account=queries.get_account(visit.db, hr_account_id),
        run=row,
        is_open=open_run is not None and open_run.id == row.id,
        leavers=queries.names_of_leavers(visit.db, difference.get("leaving", [])),
        leaving=row.counts.get("deactivated", 0),
        emptied=sorted(difference.get("emptied", {}).items()),
        skipped=row.skipped[:LISTED_SKIPS],
        to_review=row.notes.get("to_review", []),
        coverage=queries.coverage(row),
    )


@pages.post("/admin/hr/<uuid:hr_account_id>/runs/<uuid:roster_run_id>/accept", role=Role.ADMINISTRATOR)
def accept(visit: Visit, hr_account_id: uuid.UUID, roster_run_id: uuid.UUID) -> web.Answer:
    """Accept a held run."""
    row = queries.get_run(visit.db, hr_account_id, roster_run_id)
    people.accept_run(visit.db, row, visit.actor, visit.now)
    return web.go("hris.account", Text("Accepted."), hr_account_id=hr_account_id)


@pages.post("/admin/hr/<uuid:hr_account_id>/runs/<uuid:roster_run_id>/drop", role=Role.ADMINISTRATOR)
def drop(visit: Visit, hr_account_id: uuid.UUID, roster_run_id: uuid.UUID) -> web.Answer:
    """Decide against a held run."""
    row = queries.get_run(visit.db, hr_account_id, roster_run_id)
    people.drop_run(visit.db, row, visit.actor, visit.now)
    return web.go("hris.account", "Dropped. Nobody was changed.", hr_account_id=hr_account_id)


# -- people whom two accounts list -------------------------------------------------------------------------


@pages.get("/admin/hr/<uuid:hr_account_id>/same", role=Role.ADMINISTRATOR)
def doubles(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Show who is taken for somebody of another account."""
    account = queries.get_account(visit.db, hr_account_id)
    found = queries.doubles_of(visit.db, account.id)
    return web.render("hris/doubles.html", visit, account=account, doubles=found, most=queries.MOST_DOUBLES)


@pages.post("/admin/hr/<uuid:hr_account_id>/same/<uuid:person_id>/split", role=Role.ADMINISTRATOR)
def split(visit: Visit, hr_account_id: uuid.UUID, person_id: uuid.UUID) -> web.Answer:
    """Say that somebody and the person of another account are two people."""
    person = queries.get_person(visit.db, hr_account_id, person_id)
    people.split_person(visit.db, person, visit.actor, visit.now)
    said = "They are two people from now on, whatever the HR systems say."
    return web.go("hris.doubles", said, hr_account_id=hr_account_id)


# -- ranks -------------------------------------------------------------------------------------------------


@pages.get("/admin/hr/<uuid:hr_account_id>/ranks", role=Role.ADMINISTRATOR)
def ranks(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Show the words by which people are ranked, unmapped ones first."""
    account = queries.get_account(visit.db, hr_account_id)
    asked = visit.values.get("rank_by") or request.args.get("rank_by") or account.rank_by
    rank_by = asked if asked in forms.RANK_BY else account.rank_by
    words = queries.words_of(visit.db, account, rank_by)
    if visit.values:
        # What was typed belongs to the words that stood there, whatever a run has changed meanwhile.
        known = {queries.fold(word.word): word for word in words}
        stood = [word for name, word in visit.values.items() if name.startswith("word-")]
        words = [known.get(queries.fold(word), queries.Word(word, 0, None)) for word in stood]
    return web.render(
        "hris/ranks.html",
        visit,
        account=account,
        rank_by=rank_by,
        rank_options=list(forms.RANK_BY.items()),
        words=words[: queries.MOST_WORDS],
        more=max(0, len(words) - queries.MOST_WORDS),
    )


@pages.post("/admin/hr/<uuid:hr_account_id>/ranks", role=Role.ADMINISTRATOR, on_input_error=ranks)
def save_ranks(visit: Visit, hr_account_id: uuid.UUID) -> web.Answer:
    """Save the ranks of all words on the page; everybody stored is ranked anew."""
    account = queries.get_account(visit.db, hr_account_id)
    rank_by = web.load_form(forms.RankByForm())["rank_by"]
    count = sum(1 for name in request.form if name.startswith("word-"))
    typed = web.load_form(forms.ranks_form(min(count, queries.MOST_WORDS)))
    found = {typed[f"word-{n}"]: typed[f"rank-{n}"] for n in range(len(typed) // 2) if typed[f"word-{n}"]}
    moved = operations.save_ranks(visit.db, account, rank_by, found, visit.actor, visit.now)
    said = Text("The ranks are saved. %(count)s people have another rank now.", count=moved)
    return web.go("hris.account", said, hr_account_id=account.id)


# -- notices of HR systems ---------------------------------------------------------------------------------


@pages.post("/hris/webhooks/<token>", role=Role.PUBLIC)
def take_notice(token: str) -> web.Answer:
    """Take a notice of an HR system that somebody changed; whoever sends a wrong one learns nothing."""
    request.max_content_length = LARGEST_NOTICE
    runtime = web.get_runtime()
    account = tasks.find_webhook(runtime, token)
    if account is None:
        return "", 404
    body = request.get_data()
    try:
        notice = tasks.read_notice(runtime, account, dict(request.headers), body)
    except NotAllowedError:
        log.warning("notice_refused", account=str(account.id))
        return "", 401
    except NotFoundError:
        return "", 404
    except InputError as error:
        log.warning("notice_without_sense", account=str(account.id), code=error.code)
        return "", 422
    tasks.take_notice(runtime, account, notice)
    return "", 200

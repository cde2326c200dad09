"""The administrator's pages on HR accounts: add, try, preview, decide, rank, plan."""

import csv

import pytest

from rmplugin import web
from rmplugin.app import create_app
from rmplugin.audit import AuditEntry
from rmplugin.hris import operations
from rmplugin.jobs import OutboxEvent, work_outbox
from rmplugin.people.models import Person, RosterRun
from rmplugin.people.operations import begin_run
from rmplugin.people.tasks import load_settings, sync_roster
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import add_account
from rmplugin.wiring import make_runtime
from tests.factories.hris import Staff, record
from tests.factories.people import make_account, make_person
from tests.factories.rows import read_rows


@pytest.fixture
def staff():
    return Staff()


@pytest.fixture
def plugins(staff):
    return [staff]


@pytest.fixture
def account(runtime, tenant, staff, clock):
    """Connect Staff; nobody was read yet."""
    given = {"url": "https://hr.example", "secret": "right"}
    with runtime.database.transaction(tenant.id) as db:
        return add_account(db, "people", staff, given, {}, runtime.database.secrets, clock.now)


@pytest.fixture
def read(runtime, tenant, account, clock):
    """Read Staff as the command does; ``read(accept=True)`` takes what comes."""

    def read(*, accept=False):
        clock.forward(minutes=1)
        return sync_roster(
            runtime.database,
            runtime.plugins,
            tenant.id,
            "people",
            full=True,
            accept_shrink=accept,
            now=clock.now,
        )

    return read


@pytest.fixture
def rows(runtime, tenant):
    return lambda model: read_rows(runtime.database, tenant, model)


@pytest.fixture
def here(account):
    return f"/admin/hr/{account.id}"


def work(runtime):
    work_outbox(runtime, slow=True)


def test_list_when_nothing_is_connected_offers_every_connector(admin):
    page = admin.get("/admin/hr")
    assert "None is connected yet." in page.says()
    for key, title in (("csv_file", "CSV or Excel file"), ("staff", "Staff")):
        assert f'href="/admin/hr/new/{key}">{title}</a>' in page.text


def test_account_when_added_by_the_form_has_the_settings_that_were_typed(admin, runtime, staff, rows):
    page = admin.get("/admin/hr/new/staff")
    assert page.text.index("set_url") < page.text.index("set_region")
    page.submit(
        "/admin/hr/new/staff",
        name="people",
        set_url="https://hr.example",
        set_secret="right",
        set_private_key="BEGIN\r\nEND",
        set_leavers="false",
        set_companies="A\nB",
        set_fields="name = Full name",
        set_words="on.leave = leave",
    )
    assert "people is added." in page.says()
    (account,) = rows(HrAccount)
    assert load_settings(runtime.database, staff, account) == {
        "url": "https://hr.example", "secret": "right", "region": "eu", "page_size": 100, "leavers": False,
        "companies": ["A", "B"], "fields": {"name": "Full name"}, "words": {"on.leave": "leave"},
        "private_key": "BEGIN\nEND",
    }  # fmt: skip
    assert set(account.settings) == {"url", "region", "page_size", "leavers", "companies", "fields", "words"}
    assert account.schedule == 1440


def test_account_when_faults_are_typed_tells_them_beside_their_fields_and_keeps_the_rest(admin, rows):
    page = admin.get("/admin/hr/new/staff")
    page.submit("/new/staff", set_secret="very secret", set_page_size="many", set_fields="salary = Pay")
    assert page.status == 422
    for name, told in (
        ("name", "Give it a name of your own"),
        ("set_url", "This setting is needed."),
        ("set_page_size", "Give a whole number."),
        ("set_fields", "salary: There is no such setting."),
    ):
        assert f'id="e-{name}">{told}' in page.text
        assert f'aria-describedby="h-{name} e-{name}"' in page.text or f" e-{name}" in page.text
    assert "salary = Pay" in page.text
    assert "very secret" not in page.text
    assert rows(HrAccount) == []


def test_account_when_the_name_is_taken_says_so_beside_it(admin, account, rows):
    page = admin.get("/admin/hr/new/staff")
    page.submit("/new/staff", name="people", set_url="u", set_secret="s")
    assert page.status == 422
    assert "An HR account &#39;people&#39; exists already" in page.text
    assert len(rows(HrAccount)) == 1


def test_settings_when_changed_keep_the_secret_that_is_not_typed(admin, account, here, runtime, staff, rows):
    page = admin.get(f"{here}/settings")
    assert "right" not in page.text.replace("copyright", "")
    page.submit("/settings", set_url="https://other.example")
    (after,) = rows(HrAccount)
    given = load_settings(runtime.database, staff, after)
    assert (given["url"], given["secret"]) == ("https://other.example", "right")
    page = admin.get(f"{here}/settings").submit("/settings", set_secret="new")
    (after,) = rows(HrAccount)
    assert load_settings(runtime.database, staff, after)["secret"] == "new"
    page = admin.get(f"{here}/settings").submit("/settings", set_url="")
    assert (page.status, "This setting is needed." in page.text) == (422, True)


def test_settings_when_changed_forget_the_place_in_the_sources_changes(
    admin, account, here, staff, read, rows
):
    read(accept=True)
    assert rows(HrAccount)[0].cursor == "1"
    admin.get(f"{here}/settings").submit("/settings", set_secret="right")
    assert rows(HrAccount)[0].cursor == "1"
    admin.get(f"{here}/settings").submit("/settings", set_region="us")
    assert rows(HrAccount)[0].cursor is None


def test_check_when_asked_for_runs_in_the_worker_and_is_shown(admin, runtime, account, here, staff):
    page = admin.get(here).submit("/check")
    assert "The check is running." in page.says()
    work(runtime)
    assert "in order : Sign-in." in admin.get(here).says()
    staff.broken = True
    admin.get(here).submit("/check")
    work(runtime)
    assert "to mend : Connection. The check stopped with an unexpected error" in admin.get(here).says()


def test_check_when_no_worker_runs_says_so(admin, account, here, clock):
    admin.get(here).submit("/check")
    clock.forward(minutes=3)
    assert "Is `rmplugin worker` running?" in admin.get(here).says()


def test_first_reading_when_asked_for_is_a_preview_that_is_accepted(admin, runtime, here, staff, rows):
    staff.hire("a", "b")
    staff.hire("c", grade=None)
    page = admin.get(here).submit("/read")
    assert "The roster is being read" in page.says()
    work(runtime)
    page = admin.get(here)
    assert "A reading waits for your decision" in page.says()
    assert rows(Person) == []
    (run,) = rows(RosterRun)
    page = admin.get(f"{here}/runs/{run.id}")
    assert "3 seen, 3 new" in page.says()
    assert "grade 67 %" in page.says()
    page.submit("/accept")
    work(runtime)
    assert "complete: 3 seen, 3 new" in admin.get(here).says()
    assert len(rows(Person)) == 3
    actions = {(entry.action, entry.actor.split(":")[0]) for entry in rows(AuditEntry)}
    assert ("roster_run.accept", "administrator") in actions


def test_held_reading_when_shown_names_leavers_emptied_fields_and_brakes_and_can_be_dropped(
    admin, runtime, here, staff, read, rows
):
    staff.hire(*(f"p{n}" for n in range(20)))
    staff.hire("z", display_name="<b>Zoe</b> Leaver")
    read(accept=True)
    staff.people = {"p1": staff.people["p1"]}
    staff.hire("p1", grade=None)
    read()
    page = admin.get("/admin/hr")
    assert "waits for your decision" in page.says()
    run = max(rows(RosterRun), key=lambda run: run.started_at)
    page = admin.get(f"{here}/runs/{run.id}")
    assert "20 of 21 people would leave" in page.says()
    assert "&lt;b&gt;Zoe&lt;/b&gt; Leaver" in page.text
    assert "Person p2" in page.says()
    assert "grade: 1 person" in page.says()
    page.submit("/drop")
    assert "Dropped. Nobody was changed." in page.says()
    assert len([p for p in rows(Person) if not p.has_left]) == 21
    page = admin.get(f"{here}/runs/{run.id}")
    assert "/accept" not in page.text
    assert admin.post(f"{here}/runs/{run.id}/accept").status == 409


def test_run_when_it_skipped_records_lists_them_with_reasons(admin, runtime, tenant, clock, tmp_path):
    with (tmp_path / "people.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["Employee ID", "Name", "Hire Date"], ["1", "Ann", "2020-01-01"], ["2", "Bob", "yesterday"]]
        )
    connector = runtime.plugins.connector("csv_file")
    given = {"path": str(tmp_path / "people.csv")}
    with runtime.database.transaction(tenant.id) as db:
        account = add_account(db, "file", connector, given, {}, runtime.database.secrets, clock.now)
    report = sync_roster(
        runtime.database, runtime.plugins, tenant.id, "file", accept_shrink=True, now=clock.now
    )
    words = admin.get(f"/admin/hr/{account.id}/runs/{report.run_id}").says()
    assert "row 3 hire_date The date is not of the declared format %Y-%m-%d." in words


def test_run_when_asked_for_under_another_account_is_not_found(
    admin, runtime, tenant, staff, account, read, clock
):
    report = read(accept=True)
    with runtime.database.transaction(tenant.id) as db:
        other = add_account(
            db, "other", staff, {"url": "u", "secret": "s"}, {}, runtime.database.secrets, clock.now
        )
    assert admin.get(f"/admin/hr/{other.id}/runs/{report.run_id}").status == 404


def test_schedule_when_changed_plans_the_next_run(admin, here, rows, clock):
    admin.get(here).submit("/schedule", every="60")
    (account,) = rows(HrAccount)
    assert (account.schedule, (account.next_run_at - clock.now).total_seconds()) == (60, 3600)
    admin.get(here).submit("/schedule", every="off")
    (account,) = rows(HrAccount)
    assert (account.schedule, account.next_run_at) == (None, None)
    page = admin.get(here).submit("/schedule", every="nonsense")
    assert (page.status, "Please give the minutes between two runs" in page.text) == (422, True)


def test_failing_account_when_shown_says_why_and_when_it_is_tried_again(admin, runtime, here, staff):
    staff.broken = True
    for _ in range(2):
        admin.get(here).submit("/read")
        work(runtime)
    words = admin.get(here).says()
    assert "Staff refused the sign-in. Enter a new secret. Nobody was changed." in words
    assert (
        "2 runs failed in a row, so that it is tried less often. Next: Tue 24 Nov 2026, 09:00 (UTC)." in words
    )
    assert "the last run failed" in admin.get("/admin/hr").says()


def test_webhook_address_when_made_is_shown_once(admin, here, rows):
    page = admin.get(here).submit("/webhook")
    assert 'value="http://localhost:5000/hris/webhooks/' in page.text
    assert "/hris/webhooks/" not in admin.get(here).text
    assert "A new address ends the one that is in use." in admin.get(here).says()


# -- ranks -------------------------------------------------------------------------------------------------


@pytest.fixture
def company(runtime, tenant, account):
    """Write people of three grades, one of whom has a rank from the source itself."""
    with runtime.database.transaction(tenant.id) as db:
        known = db.get_one(HrAccount, account.id)
        known.grade_ranks = {"G1": 10}
        for name, grade, rank in (
            ("Ann", "G1", 10), ("Bob", " g1", 10), ("Cem", "G2", None), ("Dan", "Ä", None),
            ("Eve", "ä", None), ("Fay", "G2", 77),
        ):  # fmt: skip
            make_person(
                db, known, display_name=name, grade=grade, seniority_rank=rank, job_title=f"Title of {name}"
            )


@pytest.fixture
def ranks(rows):
    return lambda: {p.display_name: p.seniority_rank for p in rows(Person)}


def test_ranks_when_shown_list_unmapped_words_first_by_frequency(admin, here, company):
    words = admin.get(f"{here}/ranks").says()
    assert words.index("G2 2") < words.index("G1 2")
    assert words.index("Ä 2") < words.index("G1 2")
    assert "2 words have no rank" in admin.get(here).says()


def test_ranks_when_saved_rank_everybody_anew_but_whom_the_source_ranks(
    admin, here, company, ranks, rows, staff, runtime
):
    page = admin.get(f"{here}/ranks")
    given = {"G2": "20", "Ä": "30", "G1": "11"}
    fields = next(form["fields"] for form in page.forms() if "word-0" in form["fields"])
    typed = {f"rank-{n}": given[fields[f"word-{n}"][0]] for n in range(3)}
    page.post(f"{here}/ranks", **{**flat(fields), **typed})
    assert ranks() == {"Ann": 11, "Bob": 11, "Cem": 20, "Dan": 30, "Eve": 30, "Fay": 77}
    assert "The ranks are saved. 5 people have another rank now." in page.says()
    assert staff.reads == []
    assert rows(HrAccount)[0].grade_ranks == {"G2": 20, "Ä": 30, "G1": 11}


def flat(fields):
    return {name: values[0] for name, values in fields.items() if not name.startswith("_")}


def test_ranks_when_a_number_is_wrong_are_shown_again_with_what_was_typed(admin, here, company, ranks):
    page = admin.get(f"{here}/ranks")
    fields = next(form["fields"] for form in page.forms() if "word-0" in form["fields"])
    page.post(f"{here}/ranks", **{**flat(fields), "rank-0": "101", "rank-1": "ten"})
    assert page.status == 422
    assert page.text.count("A rank is a whole number from 0 to 100.") == 2
    assert 'value="101"' in page.text
    assert ranks()["Ann"] == 10


def test_ranks_when_by_job_title_forget_those_by_grade(runtime, tenant, account, company, ranks, clock):
    with runtime.database.transaction(tenant.id) as db:
        known = db.get_one(HrAccount, account.id)
        moved = operations.save_ranks(db, known, "job_title", {"title of CEM": 50}, "command", clock.now)
    assert moved == 3
    assert ranks() == {"Ann": None, "Bob": None, "Cem": 50, "Dan": None, "Eve": None, "Fay": 77}


def test_ranks_when_the_account_is_read_again_are_the_same(
    admin, runtime, tenant, account, staff, read, clock, ranks
):
    staff.hire("a", grade="G5", display_name="Ann")
    read(accept=True)
    with runtime.database.transaction(tenant.id) as db:
        operations.save_ranks(
            db, db.get_one(HrAccount, account.id), "grade", {"G5": 50}, "command", clock.now
        )
    assert ranks() == {"Ann": 50}
    assert read().status == "complete"
    assert ranks() == {"Ann": 50}
    assert read().unchanged == 1


@pytest.mark.parametrize("rank_by", ["level", "job_title"])
def test_reading_when_ranked_by_another_word_takes_that(
    runtime, tenant, account, staff, read, clock, ranks, rank_by
):
    with runtime.database.transaction(tenant.id) as db:
        operations.save_ranks(
            db, db.get_one(HrAccount, account.id), rank_by, {"Boss": 90}, "command", clock.now
        )
    staff.hire("a", grade="Boss", display_name="Grade only")
    staff.hire("b", **{"grade": None, rank_by: "boss ", "display_name": "Right word"})
    read(accept=True)
    assert ranks() == {"Grade only": None, "Right word": 90}


def test_account_when_its_plugin_is_gone_is_still_shown(admin, runtime, account, here, settings, clock):
    without = make_runtime(settings, clock=clock)
    app = create_app(settings, runtime=without)
    admin.client = app.test_client()
    assert "The plug-in for this HR system is not installed." in admin.get(here).says()
    assert admin.get(f"{here}/settings").status == 404
    without.database.close()
    without.queue.storage.close()


def test_held_run_on_a_german_page_is_german_and_names_no_command(admin, read, here):
    headers = {"Accept-Language": "de", web.HTTP_HEADER: admin.token}
    page = admin.client.get(f"{here}/runs/{read().run_id}", headers=headers).get_data(as_text=True)
    assert "Dies ist die erste Lesung dieses Kontos: 0 Personen kämen hinzu." in page
    assert "Niemand wurde geändert. Prüfen Sie die Quelle." in page
    assert "rmplugin hris" not in page


def test_accepting_when_done_in_two_windows_is_done_once(admin, read, here, rows):
    run = read().run_id
    for _ in range(2):
        admin.post(f"{here}/runs/{run}/accept")
        assert "Accepted." in admin.says()
    assert [event.kind for event in rows(OutboxEvent)].count("roster_wanted") == 1


def test_double_when_it_is_two_people_is_split_by_its_button(admin, runtime, tenant, read, staff, here, rows):
    with runtime.database.transaction(tenant.id) as db:
        other = make_person(db, make_account(db, "other"), employee_number="7", display_name="Ada Other")
        foreign = f"{here}/same/{other.id}/split"
    staff.people = {"7": record("7", employee_number="7")}
    read(accept=True)
    page = admin.get(here)
    assert "People in two HR systems" in page.says()
    assert "other: Ada Other (7)" in admin.get(f"{here}/same").says()
    admin.post(foreign)
    assert admin.status == 404
    (mine,) = (person for person in rows(Person) if person.same_person_id)
    admin.get(f"{here}/same").submit(f"{mine.id}/split")
    assert "They are two people from now on" in admin.says()
    assert "Nobody of this HR system is taken for somebody of another one." in admin.says()
    read()
    assert [person.same_person_id for person in rows(Person)] == [None, None]


def test_run_when_somebody_may_be_known_elsewhere_lists_them(admin, runtime, tenant, staff, read, here):
    for name in ("a", "b"):
        with runtime.database.transaction(tenant.id) as db:
            other = make_account(db, f"other {name}")
            make_person(db, other, employee_number="7")
    staff.people = {"7": record("7", employee_number="7")}
    page = admin.get(f"{here}/runs/{read().run_id}")
    assert "Who may be somebody of another HR system" in page.says()
    assert "person 7 : Another account has somebody with this employee number" in page.says()


def test_account_when_the_reading_process_was_killed_offers_to_read_again(
    admin, runtime, tenant, clock, account, here
):
    with runtime.database.transaction(tenant.id) as db:
        begin_run(db, account, "full", clock.now)
    assert "Read now" not in admin.get(here).says()
    clock.forward(minutes=11)
    assert "The roster is being read" in admin.get(here).says()
    admin.submit("/read")
    work(runtime)
    assert "waits for your decision" in admin.get(here).says()


def test_held_reading_when_its_cause_was_mended_can_be_read_again(admin, read, here, rows):
    read()
    admin.get(here).submit(f"{here}/read")
    (wanted,) = [event for event in rows(OutboxEvent) if event.kind == "hris_run_wanted"]
    assert (admin.status, wanted.payload["full"]) == (200, True)

"""The whole application, served over HTTP, in a course of a platform that somebody else wrote: Open edX.

Set-up happens with the commands that an administrator types, work with the pages that people see; only the
wait for a minute to pass is shortened.
"""

import html
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from werkzeug.serving import make_server

from lti import ags, nrps
from lti.service import ServiceClient
from rmplugin.app import create_app
from rmplugin.credits import reconciling
from rmplugin.credits.models import CreditEntry, Delivery
from rmplugin.credits.tasks import COLUMN_IN_THE_MAKING, deliver_due
from rmplugin.jobs import work_outbox
from rmplugin.matching.models import Proposal
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink
from rmplugin.tenants.queries import get_tenant
from rmplugin.tenants.store import PlatformStore, as_platform
from rmplugin.tenants.tasks import check_platform
from rmplugin.wiring import make_runtime
from tests.factories.browser import Browser
from tests.factories.commands import Commands
from tests.factories.grades import counts, kinds
from tests.factories.launches import token_of
from tests.fakes.openedx.client import Form, OpenEdxPlatform, browser
from tests.lti.openedx_fixtures import QuietHandler

pytestmark = pytest.mark.part("openedx")

TEACHER, MENTOR, MENTEE = "amara.okafor", "chiara.okafor", "daan.okafor"
PROGRAMME = "Digital 2027"


class Stage:
    """A threaded server whose application each test puts on: the platform knows the tool by one address."""

    def __init__(self) -> None:
        self.app = None
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=QuietHandler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_problem):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def stage():
    with Stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def running_platform(stage):
    with OpenEdxPlatform(stage.url) as platform:
        yield platform


class OverHttp:
    """What `Browser` needs of a client, by real requests."""

    def __init__(self, url, session) -> None:
        self.url, self.session = url, session

    def get(self, path, *, headers, follow_redirects):
        del follow_redirects
        return self._read(self.session.get(self.url + path, headers=headers, timeout=30))

    def post(self, path, *, data, headers, follow_redirects):
        del follow_redirects
        return self._read(self.session.post(self.url + path, data=data, headers=headers, timeout=30))

    def _read(self, answer):
        answer.get_data = lambda as_text: answer.text  # noqa: ARG005 - the shape that Flask's client has.
        answer.request.path = answer.request.path_url
        return answer


class Site:
    """The application in a course of Open edX."""

    def __init__(self, settings, stage, platform, tmp_path) -> None:
        self.settings = replace(settings, public_url=stage.url)
        self.runtime = make_runtime(self.settings)
        self.rm = Commands.of(self.settings)
        self.stage, self.platform, self.folder = stage, platform, tmp_path
        stage.app = create_app(self.settings, runtime=self.runtime)
        self.sessions = []
        self.rm.do("init")
        with self.runtime.database.transaction(None, write=False) as db:
            self.tenant_id = get_tenant(db, None).id

    def close(self):
        for session in self.sessions:
            session.close()
        self.runtime.database.close()
        self.runtime.queue.storage.close()

    def db(self):
        return self.runtime.database.transaction(self.tenant_id)

    def only(self, table, **conditions):
        with self.db() as db:
            return db.scalars(select(table).filter_by(**conditions)).one()

    def add_platform(self):
        values = {name: getattr(self.platform, name) for name in ("issuer", "client_id")}
        values |= {name: getattr(self.platform, name) for name in ("auth_url", "token_url", "jwks_url")}
        options = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
        self.rm.do(
            "platform", "add", "--name=openedx", "--family=openedx",
            f"--deployment-id={self.platform.deployment_id}", *options,
        )  # fmt: skip

    def read_roster(self):
        """Read an HR file in which everybody of the course has the employee number that the course sends."""
        lines = ["employee_number,display_name,email,grade,hire_date"]
        for person in self.platform.people():
            grade = "G9" if person["username"] == MENTEE else "G1"
            lines.append(f"{person['employee_number']},{person['name']},{person['email']},{grade},2026-01-05")
        path = self.folder / "people.csv"
        path.write_text("\n".join(lines))
        self.rm.do(
            "hris", "add", "people", "--connector=csv_file", f"--set=path={path}",
            "--rank=G1=10", "--rank=G9=90",
        )  # fmt: skip
        assert self.rm.do("hris", "sync", "people", "--accept-shrink", "--json").json["created"] == 60

    def launch(self, username):
        """Go the whole way from the course to the first page, and stay there."""
        session = browser()
        self.sessions.append(session)
        answer = self.platform.launch(self.platform.launch_url(username), session)
        assert answer.status_code == 200, answer.text
        visitor = Browser(OverHttp(self.stage.url, session), token_of(answer.text))
        visitor.text, visitor.status, visitor.path = answer.text, 200, answer.request.path_url
        return visitor

    def pair_up(self):
        """Create the programme in the course, enrol two people, match them, and let both say yes."""
        teacher = self.launch(TEACHER)
        teacher.get("/programmes/new/digital_fluency")
        teacher.submit(
            "/programmes/new/digital_fluency",
            name=PROGRAMME, min_sessions="4", min_minutes="240",
            needs_goal_review="", needs_agreement="",
        )  # fmt: skip
        programme = self.only(Programme)
        teacher.get(f"/programmes/{programme.id}/launch")
        teacher.submit("/launch", reason="pilot")
        assert self.only(Programme).state == "enrolling"
        path = self.folder / "enrolments.csv"
        columns = "employee_number,role,offers,wants,languages,motivation,motivation_level,time_zone"
        rows = [
            "E1003,mentor,Generative AI tools:4,Company strategy:2:1,en,Yes,4,UTC",
            "E1004,mentee,Company strategy:4,Generative AI tools:3:1,en,Yes,4,UTC",
        ]
        path.write_text("\n".join([columns, *rows]))
        report = self.rm.do("programme", "import-enrolments", PROGRAMME, path, "--json").json
        assert (report["created"], report["skipped"]) == (2, [])
        run = self.rm.do("match", "run", PROGRAMME, "--json").json
        assert run["pairs"] == 1
        self.rm.do("match", "release", run["run_id"])
        proposal = self.only(Proposal)
        people = {name: self.launch(name) for name in (MENTOR, MENTEE)}
        for person in people.values():
            person.get(f"/proposals/{proposal.id}")
            person.post(f"/proposals/{proposal.id}/answer", answer="yes")
        assert "You both said yes" in people[MENTEE].says()
        return people

    def meet(self, people, hours_ago, minutes=60):
        """Let the mentor write down a session, and both confirm it on its page."""
        mentor, mentee = people[MENTOR], people[MENTEE]
        began = datetime.now(UTC) - timedelta(hours=hours_ago)
        mentor.get("/home")
        pairing = re.search(r"/pairings/([0-9a-f-]{36})", mentor.text)[1]
        for person in (mentor, mentee):
            if person.get(f"/pairings/{pairing}/introduction").forms():
                person.submit("/introduction", answer="yes")
        mentor.get(f"/pairings/{pairing}/sessions/new")
        mentor.submit("/sessions", on=began.date().isoformat(), at=f"{began:%H:%M}", minutes="60")
        assert mentor.status == 200, mentor.says()
        with self.db() as db:
            query = select(MentoringSession.id).order_by(MentoringSession.id.desc())
            session_id = db.scalars(query.limit(1)).one()
        for person in (mentor, mentee):
            person.get(f"/sessions/{session_id}")
            person.submit("/claim", minutes=str(minutes))
            assert person.status == 200, person.says()

    def agree(self, people):
        mentor, mentee = people[MENTOR], people[MENTEE]
        mentor.get("/home")
        path = re.search(r"/pairings/[0-9a-f-]{36}", mentor.text)[0]
        for person in (mentor, mentee):
            person.get(f"{path}/agreement/draft")
            person.submit("/draft", do="send", place="Café", hopes="To learn", boundaries="None")
        mentor.get(f"{path}/agreement/new").submit("/agreement")
        mentor.get(f"{path}/agreement")
        mentor.submit("/sign")
        mentee.get(f"{path}/agreement")
        mentee.submit("/sign")
        assert mentee.status == 200, mentee.says()

    def work(self):
        """Do the worker's round."""
        work_outbox(self.runtime)
        return dict(deliver_due(self.runtime))

    def let_a_minute_pass(self):
        with self.db() as db:
            for row in db.scalars(select(Delivery).where(Delivery.state == "retry")):
                assert row.next_at - datetime.now(UTC) <= timedelta(minutes=1)
                row.next_at = datetime.now(UTC)

    def sub_of(self, username):
        return next(p["external_id"] for p in self.platform.people() if p["username"] == username)

    def scores(self):
        """Give what the gradebook shows of the two people."""
        grades = self.platform.grades()
        return [grades.get(self.sub_of(name), {}).get("score") for name in (MENTOR, MENTEE)]

    def columns(self):
        client, platform = self.service()
        return list(ags.line_items(client, platform, self.platform.lineitems_url))

    def service(self):
        runtime = self.runtime
        client = ServiceClient(PlatformStore(runtime.database, runtime.clock), runtime.http, runtime.clock)
        return client, as_platform(self.only(LtiPlatform))

    def newest(self, username):
        with self.db() as db:
            user = db.scalars(select(LtiUser).where(LtiUser.sub == self.sub_of(username))).one()
            query = select(Delivery).where(Delivery.person_id == user.person_id)
            return db.scalars(query.order_by(Delivery.created_at.desc(), Delivery.id.desc())).first()


@pytest.fixture
def bare_site(settings, stage, running_platform, tmp_path):
    running_platform.control(reset=True)
    site = Site(settings, stage, running_platform, tmp_path)
    yield site
    site.close()


@pytest.fixture
def site(bare_site):
    bare_site.add_platform()
    bare_site.read_roster()
    return bare_site


def test_launch_when_the_platform_is_not_registered_is_refused_in_words(bare_site):
    with browser() as session:
        answer = session.get(bare_site.platform.launch_url(MENTOR), timeout=30)
    assert answer.status_code == 403
    assert "This learning platform is not registered here" in answer.text


def test_launch_when_instructor_and_learners_come_shows_each_their_first_page(site):
    teacher, mentor = site.launch(TEACHER), site.launch(MENTOR)

    assert "/programmes/new" in teacher.text
    assert "/programmes/new" not in mentor.text
    assert mentor.get("/programmes").status == 403
    with site.db() as db:
        linked = {
            person.employee_number: user.link_source
            for user, person in db.execute(
                select(LtiUser, Person).join(Person, Person.id == LtiUser.person_id)
            )
        }
    assert linked == {"E1001": "custom", "E1003": "custom"}
    assert site.only(LtiContext).memberships_url.startswith(site.platform.memberships_url)


def test_roster_when_it_has_several_pages_is_read_by_the_stored_address(site):
    before = {f.what: f.ok for f in check_platform(site.runtime, site.tenant_id, "openedx")}
    assert (before["key set"], before["access token"], before["course"]) == (True, True, False)
    site.launch(TEACHER)

    said = {line["what"]: line for line in site.rm("platform", "check", "openedx", "--json").json}
    assert all(line["ok"] for line in said.values()), said
    assert "makes one with the first grade" in said["gradebook (AGS)"]["advice"]
    assert "lets no tool delete a column" in said["self-test"]["advice"]
    assert site.columns() == []

    client, platform = site.service()
    site.platform.control(clear=["requests"])
    members = list(nrps.members(client, platform, site.only(LtiContext).memberships_url))
    assert [member.user_id for member in members] == [p["external_id"] for p in site.platform.people()]
    assert len(site.platform.requests_to("/memberships")) == 3


def test_score_when_sessions_are_confirmed_reaches_the_gradebook_and_the_newer_one_replaces_it(site):
    people = site.pair_up()
    site.meet(people, hours_ago=5)
    assert site.work() == {"delivered": 2}

    assert site.scores() == [25, 25]
    column = site.columns()
    assert [(c.tag, c.score_maximum) for c in column] == [("completion", 100)]
    assert column[0].resource_link_id == site.platform.resource_link_id
    assert site.only(LtiResourceLink).line_item_url == column[0].id
    says = people[MENTEE].get("/credits").says()
    assert "sent" in says

    site.agree(people)
    site.meet(people, hours_ago=2)
    assert site.work() == {"delivered": 2}
    assert site.scores() == [50, 50]
    assert len(site.columns()) == 1

    # What the platform gives back is what the ledger says.
    client, platform = site.service()
    results = {r.user_id: r.score for r in ags.get_results(client, platform, column[0].id)}
    with site.db() as db:
        minutes = {}
        for entry, user in db.execute(
            select(CreditEntry, LtiUser).join(LtiUser, LtiUser.person_id == CreditEntry.person_id)
        ):
            minutes[user.sub] = minutes.get(user.sub, 0) + entry.minutes
    assert minutes == dict.fromkeys(map(site.sub_of, (MENTOR, MENTEE)), 120)
    assert results == {sub: 100 * total / 240 for sub, total in minutes.items()}
    document = site.rm.do("credits", "deliveries", "--state=delivered", "--json").json
    assert [(row["percent"], row["last_status"]) for row in document] == [(50, 201)] * 2 + [(25, 201)] * 2


def test_score_when_a_newer_time_is_stored_already_is_compared_with_the_result_and_ends_delivered(site):
    people = site.pair_up()
    site.meet(people, hours_ago=5)
    site.work()
    site.agree(people)
    site.meet(people, hours_ago=2)
    # The same score arrived before with a later time, as after a restored backup of our database.
    client, platform = site.service()
    column = site.columns()[0].id
    later = datetime.now(UTC) + timedelta(hours=1)
    score = ags.Score(site.sub_of(MENTEE), 50, 100, "InProgress", "FullyGraded", later)
    ags.post_score(client, platform, column, score)

    assert site.work() == {"delivered": 2}
    row = site.newest(MENTEE)
    assert (row.state, row.last_status, row.attempts) == ("delivered", 400, 1)
    assert site.scores() == [50, 50]


def test_score_when_the_platform_is_down_is_tried_again_and_arrives_once(site):
    people = site.pair_up()
    site.meet(people, hours_ago=5)
    site.platform.control(outage=503)
    assert site.work() == {"retry": 2}
    assert site.scores() == [None, None]
    assert "tried again by itself" in people[MENTEE].get("/credits").says()
    # Nothing is due before its pause is over.
    assert site.work() == {}

    site.platform.control(outage=0)
    site.let_a_minute_pass()
    assert site.work() == {"delivered": 2}
    assert site.scores() == [25, 25]
    assert len(site.columns()) == 1


def test_score_when_the_platform_fails_for_one_person_reaches_the_other(site):
    people = site.pair_up()
    everybody = site.platform.people()
    site.meet(people, hours_ago=5)
    # Open edX answers 500 for a score of somebody whom the course does not know.
    site.platform.control(people=[p for p in everybody if p["username"] != MENTEE])
    assert site.work() == {"delivered": 1, "retry": 1}

    site.platform.control(people=everybody)
    waiting = site.rm.do("credits", "deliveries", "--state=retry", "--json").json
    assert [(row["last_status"], row["person"]) for row in waiting] == [(500, "E1004")]
    site.rm.do("credits", "retry", waiting[0]["id"])
    assert site.rm.do("credits", "deliver", "--json").json == {"open": 0, "states": {"delivered": 1}}
    assert site.scores() == [25, 25]


def test_score_when_the_platform_is_gone_waits_without_losing_anything(site):
    people = site.pair_up()
    site.meet(people, hours_ago=5)
    site.platform.control(clear=["requests"])
    with site.db() as db:
        # The address of a closed port: nobody answers there.
        platform = db.scalars(select(LtiPlatform)).one()
        address, platform.token_url = platform.token_url, "http://127.0.0.1:9/token"
    assert site.work() == {"retry": 2}
    row = site.newest(MENTEE)
    assert (row.last_status, row.attempts) == (None, 1)
    assert "again by itself" in row.last_error

    with site.db() as db:
        db.scalars(select(LtiPlatform)).one().token_url = address
    site.let_a_minute_pass()
    assert site.work() == {"delivered": 2}
    assert site.scores() == [25, 25]


def test_column_when_several_workers_want_it_is_made_once_and_waited_for(site):
    people = site.pair_up()
    site.meet(people, hours_ago=5)
    link = site.only(LtiResourceLink)
    with site.runtime.database.hold("column", link.id) as held:
        assert held
        assert site.work() == {"retry": 2}
    assert site.newest(MENTEE).last_error == COLUMN_IN_THE_MAKING
    assert site.columns() == []
    site.let_a_minute_pass()
    workers = [threading.Thread(target=deliver_due, args=(site.runtime,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    site.let_a_minute_pass()
    site.work()
    assert len(site.columns()) == 1
    assert site.scores() == [25, 25]


def test_column_when_a_worker_died_before_it_remembered_is_found_again(site):
    people = site.pair_up()
    site.meet(people, hours_ago=5)
    site.work()
    with site.db() as db:
        db.scalars(select(LtiResourceLink)).one().line_item_url = None
    site.agree(people)
    site.meet(people, hours_ago=2)
    assert site.work() == {"delivered": 2}
    assert len(site.columns()) == 1
    assert site.scores() == [50, 50]


def test_column_when_the_platform_lets_the_tool_make_none_is_asked_for_in_words(site):
    site.platform.control(ags_mode="disabled")
    people = site.pair_up()
    site.meet(people, hours_ago=5)
    assert site.work() == {}
    row = site.newest(MENTEE)
    assert row.state == "blocked"
    assert "switch grades on" in row.last_error

    site.platform.control(ags_mode="programmatic")
    site.launch(MENTOR)
    site.launch(MENTEE)
    assert site.work() == {"delivered": 2}
    assert site.scores() == [25, 25]


def pick(site, username, **fields):
    """Open the content picker from the course, send it, and give the platform the answer."""
    session = browser()
    site.sessions.append(session)
    page = site.platform.launch(site.platform.launch_url(username, message="deep_linking"), session)
    assert page.status_code == 200, page.text
    form = Form(page.text)
    answer = session.post(
        site.stage.url + form.action,
        data={"sealed": form.fields["sealed"], "_once": form.fields["_once"], **fields},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    form = Form(answer.text)
    saved = session.post(form.action, data=form.fields, timeout=30)
    return page, answer, saved


def test_picker_when_several_views_are_picked_each_link_of_the_course_opens_its_own(site):
    page, answer, saved = pick(site, TEACHER, views=["goals", "credits"], title_goals='Our <i>"goals"</i>')
    assert "does not let us make a gradebook column" in page.text
    assert "JWT" in answer.text
    assert saved.status_code == 200, saved.text
    kept = site.platform.control()["content_items"]
    assert [item["title"] for item in kept] == ['Our <i>"goals"</i>', "My mentoring credits"]
    assert [item["custom"]["view"] for item in kept] == ["goals", "credits"]

    session = browser()
    site.sessions.append(session)
    # With several links Open edX shows them on a page of its own.
    course = session.get(site.platform.launch_url(MENTOR), timeout=30)
    links = [html.unescape(link) for link in re.findall(r'href="([^"]*/lti/login[^"]*)"', course.text)]
    assert [heading_of(site.platform.launch(link, session)) for link in links] == ["My goals", "My credits"]
    # Open edX sends the literal variables that it does not know: they are no history.
    assert site.only(LtiContext).history == []


def heading_of(page):
    return re.search(r"<h1[^>]*>(.*?)</h1>", page.text)[1]


def test_picker_when_one_view_is_picked_the_activity_opens_it_at_once(site):
    pick(site, TEACHER, views="goals")
    mentor = site.launch(MENTOR)
    assert "As soon as you have a partner" in mentor.says()


def test_picker_when_the_desk_is_picked_a_learner_lands_on_the_home_page(site):
    pick(site, TEACHER, views="desk")
    learner = site.launch(MENTEE)
    assert "this is your own start page" in learner.says()
    assert "Programme desk" in site.launch(TEACHER).says()


def test_picker_when_cancelled_leaves_the_course_as_it_was(site):
    _page, _answer, saved = pick(site, TEACHER, views="goals", cancel="1")
    assert saved.status_code == 200
    assert site.platform.control()["content_items"] == []


@pytest.fixture
def graded(site):
    """Two people whose first grade has arrived."""
    site.meet(site.pair_up(), hours_ago=5)
    assert site.work() == {"delivered": 2}
    return site


def compare(site, **options):
    """Read the gradebook back. Open edX gives what a tool sent; a teacher's grade never reaches a tool."""
    platform = site.only(LtiPlatform)
    return reconciling.compare_platform(site.runtime, site.tenant_id, platform.id, **options)


def test_compare_on_open_edx_when_results_are_lost_sends_them_again_and_once_only(graded):
    assert counts(compare(graded)) == {"equal": 2}
    graded.platform.control(clear=["results", "grades"])
    assert kinds(compare(graded, dry_run=True)) == {("lost", True): 2}
    assert graded.work() == {}
    assert kinds(compare(graded)) == {("lost", True): 2}
    assert graded.work() == {"delivered": 2}
    assert graded.scores() == [25, 25]
    assert counts(compare(graded)) == {"equal": 2}


def test_compare_on_open_edx_when_the_column_was_deleted_makes_it_again(graded):
    graded.platform.control(clear=["line_items", "grades"])
    assert kinds(compare(graded)) == {("column_gone", True): 2}
    assert graded.work() == {"delivered": 2}
    assert graded.scores() == [25, 25]
    assert len(graded.columns()) == 1
    assert counts(compare(graded)) == {"equal": 2}


def test_compare_on_open_edx_when_another_grade_stands_there_keeps_it(graded):
    client, platform = graded.service()
    column = graded.columns()[0].id
    later = datetime.now(UTC) + timedelta(minutes=1)
    ags.post_score(
        client,
        platform,
        column,
        ags.Score(graded.sub_of(MENTOR), 80, 100, "InProgress", "FullyGraded", later),
    )
    document = compare(graded)
    assert kinds(document) == {("overridden", False): 1}
    assert document["differences"][0]["theirs"] == 80
    assert graded.work() == {}
    assert graded.scores() == [80, 25]


def test_compare_on_open_edx_when_somebody_left_and_the_grade_with_them_sends_nothing(graded):
    with graded.db() as db:
        user = db.scalars(select(LtiUser).where(LtiUser.sub == graded.sub_of(MENTEE))).one()
        db.scalars(select(CourseMember).where(CourseMember.lti_user_id == user.id)).one().status = "Deleted"
    assert counts(compare(graded)) == {"equal": 2}
    graded.platform.control(clear=["results", "grades"])
    assert kinds(compare(graded)) == {("lost", True): 1, ("left", False): 1}
    assert graded.work() == {"delivered": 1}
    assert graded.scores() == [25, None]


def test_compare_on_open_edx_when_a_column_came_with_a_copy_says_so_and_leaves_it(graded):
    client, platform = graded.service()
    ags.find_or_create_line_item(
        client, platform, graded.platform.lineitems_url, label="Copy", score_maximum=100,
        resource_id="00000000-0000-7000-8000-000000000000", tag="completion",
    )  # fmt: skip
    assert kinds(compare(graded)) == {("stray_column", False): 1}
    assert len(graded.columns()) == 2


def test_compare_on_open_edx_when_it_answers_503_says_so_and_repairs_nothing(graded):
    graded.platform.control(outage=503)
    assert kinds(compare(graded)) == {("unreadable", False): 2}
    graded.platform.control(outage=0)
    assert graded.work() == {}
    assert counts(compare(graded)) == {"equal": 2}

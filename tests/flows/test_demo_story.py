"""What the demo's first course has to show: an earlier cohort that failed for a reason, and one to match."""

import pytest
from sqlalchemy import select

from rmplugin.cli.seed import PROGRAMME, fill_course
from rmplugin.demo.company import csv_settings, lms_people, write_company
from rmplugin.demo.company_pilot import PILOT
from rmplugin.jobs import work_outbox
from rmplugin.matching import documents, operations, rules, tasks, wishes
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_run
from rmplugin.notify import Notice
from rmplugin.people.tasks import sync_roster
from rmplugin.programmes import queries as programmes
from rmplugin.reviews import queries as reviews
from rmplugin.reviews import words
from rmplugin.reviews.evidence import read
from rmplugin.reviews.replay import replay, validity
from rmplugin.tenants.models import LtiContext
from rmplugin.tenants.operations import add_account
from tests.factories.credits import make_course


class Story:
    """The demo's company, its roster, and its course as the demo fills it."""

    def __init__(self, runtime, tenant, now, path, people) -> None:
        self.runtime, self.tenant, self.now = runtime, tenant, now
        self.company = write_company(path, people, as_of=now.date())
        with self.transaction() as db:
            connector = runtime.plugins.connector("csv_file")
            add_account(
                db,
                "hr-file",
                connector,
                csv_settings(self.company),
                self.company.seniority,
                runtime.database.secrets,
                now,
            )
        sync_roster(runtime.database, runtime.plugins, tenant.id, "hr-file", now=now, accept_shrink=True)
        with self.transaction() as db:
            self.context: LtiContext = make_course(db, now, "http://lms", None).context
            self.report = fill_course(db, self.company, lms_people(self.company), self.context, now)

    def transaction(self):
        return self.runtime.database.transaction(self.tenant.id)

    def programme(self, db, name):
        return programmes.find_programme(db, name)


@pytest.fixture
def story(runtime, tenant, clock, tmp_path) -> Story:
    return Story(runtime, tenant, clock.now, tmp_path / "people.csv", 400)


def test_demo_course_when_filled_opens_the_cohort_and_lists_the_pilot_that_is_over(story):
    with story.transaction() as db:
        managed = programmes.managed_programmes(db, story.context.id)
        assert [(row.name, row.state) for row in managed] == [(PROGRAMME, "enrolling"), (PILOT, "archived")]
        assert programmes.programme_of_course(db, story.context.id).name == PROGRAMME
        pilot, cohort = (story.programme(db, name) for name in (PILOT, PROGRAMME))
        people = [
            {row.person_id for row in programmes.list_enrolments(db, one.id)} for one in (pilot, cohort)
        ]
        assert len(people[0]) > 50
        assert not people[0] & people[1]
        assert pilot.ends_on < story.now.date()
        assert all(one.ended_at is None or one.ended_at < story.now for one in db.scalars(select(Pairing)))
    assert story.report.skipped == []


def test_pilot_when_over_has_open_reviews_that_name_the_planted_cause(story):
    with story.transaction() as db:
        found = {row.alarm: row for row in reviews.list_reviews(db, story.programme(db, PILOT).id)}
        assert {"rate", "reason", "run"} <= set(found)
        assert all(row.is_open for row in found.values())
        shown = read(found["reason"].evidence)
        assert shown["alarm"]["subject"] == "lack_of_expertise"
        assert shown["cohort"]["reasons"] == {"lack_of_expertise": 8}
        assert 20 <= shown["cohort"]["pairs"] <= 26
        causes = " ".join(words.causes("reason", shown))
        assert "The knowledge for this goal is missing (8 times)" in causes
        assert "The score did not tell lasting pairs from failing ones" in causes
    # What the worker does with the ends of the pairs opens nothing twice.
    work_outbox(story.runtime)
    with story.transaction() as db:
        pilot = story.programme(db, PILOT)
        assert len(reviews.list_reviews(db, pilot.id)) == len(found)
        # Nothing that is long over waits for anybody on their home page.
        people = [row.person_id for row in programmes.list_enrolments(db, pilot.id)]
        unread = select(Notice.kind).where(Notice.person_id.in_(people), Notice.read_at.is_(None))
        assert db.scalars(unread).all() == []


def test_pilot_when_replayed_with_more_weight_for_what_was_wanted_would_have_failed_less(story):
    with story.transaction() as db:
        pilot = story.programme(db, PILOT)
        outcomes = reviews.outcomes_of(db, pilot, story.now)
        weights = dict(reviews.newest_run(db, pilot.id).weights)
    score = validity(outcomes)
    assert score.tells_nothing or score.auc < 0.5
    found = replay(outcomes, weights, weights | {"coverage": 60_000})
    assert found.is_clear
    assert found.other < found.then - 0.05


def test_cohort_when_matched_leaves_people_out_for_several_reasons_and_says_what_would_help(story):
    with story.transaction() as db:
        cohort = story.programme(db, PROGRAMME)
        versions = rules.list_rule_sets(db, cohort.id)
        assert [(row.version, row.state) for row in versions] == [(2, "live"), (1, "retired")]
        assert versions[0].note
        assert wishes.count_lists(db, cohort.id) >= 5
        run_id = operations.start_run(db, cohort, "test", story.now).id
    tasks.run(story.runtime, story.tenant.id, run_id)
    with story.transaction() as db:
        run = documents.run_document(db, get_run(db, run_id))
    assert run["pairs"] > 15
    assert run["rule_set"]["version"] == 2
    scarce = {entry["skill"]: entry for entry in run["metrics"]["bottlenecks"]}["Digital accessibility"]
    assert scarce["want"] > 2 * scarce["offer"]
    found = [(entry["reason"], entry["details"]["change"]) for entry in run["unmatched"]]
    # Whoever leads everybody is left out for good: nothing small would help.
    changes = {reason: change["kind"] for reason, change in found if change}
    wanted = {
        "language": "language",
        "hours": "hours",
        "no_candidate_skill": "skill",
        "capacity_taken": "capacity",
    }
    assert wanted.items() <= changes.items()


def test_desk_when_the_pilot_has_reviews_leads_the_manager_there(story, sign_in):
    manager = sign_in(story.tenant, manager=True, context=story.context)
    page = manager.get("/manage")
    with story.transaction() as db:
        pilot = story.programme(db, PILOT).id
    assert f"Matches of “{PILOT}” failed regularly" in page.says()
    assert f'href="/manage/reviews/programmes/{pilot}"' in page.text
    assert PROGRAMME in page.says()
    assert PILOT in manager.get("/programmes").says()


def test_demo_course_when_the_company_is_small_has_the_cohort_alone(runtime, tenant, tmp_path):
    now = runtime.clock()
    small = Story(runtime, tenant, now, tmp_path / "people.csv", 150)
    with small.transaction() as db:
        assert [row.name for row in programmes.list_programmes(db)] == [PROGRAMME]


def test_pilot_when_made_on_a_summer_day_tells_the_same(runtime, tenant, clock, tmp_path):
    other = Story(runtime, tenant, clock.now.replace(month=7, day=31), tmp_path / "people.csv", 400)
    with other.transaction() as db:
        found = reviews.list_reviews(db, other.programme(db, PILOT).id)
        assert {"rate", "reason", "run"} <= {row.alarm for row in found}

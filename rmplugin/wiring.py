"""Wiring of what pages, tasks and commands share: settings in, a runtime or a worker out."""

import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from rmplugin import http
from rmplugin.db import Database, Secrets
from rmplugin.jobs import AllAtOnce, Clock, LateMapping, Runtime, check_queue_url, work_outbox
from rmplugin.plugins import Plugins
from rmplugin.settings import Settings


def utc_now() -> datetime:
    """Tell the time, aware UTC. **Touches** the clock."""
    return datetime.now(UTC)


def make_runtime(
    settings: Settings, *, plugins: Iterable[Any] = (), clock: Clock = utc_now, http_session: Any = None
) -> Runtime:
    """Open database, queue and plug-ins.

    :param plugins: plug-in objects that no entry point names.
    :param clock: tells aware UTC.
    :raises ConfigError: what is missing or wrong.
    **Touches** the database file and the queue file.
    """
    from rmplugin.scim.store import ScimServerPlugin

    check_queue_url(settings.queue_url)
    known = Plugins([ScimServerPlugin(), *plugins])
    known.mailer(settings.smtp_url)
    return Runtime(
        settings=settings,
        database=Database(settings.database_url, Secrets(settings.secret_key)),
        plugins=known,
        http=http_session or http.make_session(),
        clock=clock,
        handlers=LateMapping(lambda: _handlers(settings, known)),
        tasks=LateMapping(_tasks),
        hooks={
            "roster_synced": "rm_roster_synced",
            "pairing_started": "rm_pairing_started",
            "session_confirmed": "rm_session_confirmed",
            "credit_awarded": "rm_credit_awarded",
            "pairing_closed": "rm_pairing_closed",
        },
    )


def _handlers(settings: Settings, plugins: Plugins) -> dict[str, Any]:
    from rmplugin.calendars import operations as calendars
    from rmplugin.checkins import operations as checkins
    from rmplugin.credits import confirming
    from rmplugin.credits import operations as credits
    from rmplugin.credits.events import on_fill_wanted
    from rmplugin.destinations.operations import FILL_WANTED
    from rmplugin.introductions import operations as introductions
    from rmplugin.mailing.tasks import make_post
    from rmplugin.matching import interruptions, releasing, runs
    from rmplugin.papers import operations as papers
    from rmplugin.reviews import operations as reviews
    from rmplugin.sessions import operations as sessions

    sinks, criteria = tuple(plugins.sinks.values()), tuple(plugins.criteria.values())
    confirmed = AllAtOnce(partial(confirming.on_sessions_confirmed, sinks=sinks, policies=plugins.policies))
    progressed = partial(credits.on_progress_changed, sinks=sinks, policies=plugins.policies)
    post = make_post(settings, plugins) if settings.smtp_url else None
    session_kinds = ("session_planned", "session_moved", "session_cancelled")
    return {
        "session_confirmed": (
            confirmed,
            AllAtOnce(introductions.on_sessions_confirmed),
        ),
        **{kind: (partial(calendars.on_session_event, kind=kind, post=post),) for kind in session_kinds},
        "session_corrected": (confirmed,),
        "progress_changed": (progressed,),
        "completion_met": (AllAtOnce(papers.on_completions_met),),
        "completion_unmet": (papers.on_completion_unmet,),
        "member_seen": (credits.on_member_seen,),
        "course_roster_read": (credits.on_course_roster_read,),
        "roster_synced": (interruptions.on_roster_synced,),
        "side_lines_changed": (interruptions.on_side_lines_changed,),
        FILL_WANTED: (on_fill_wanted,),
        "programme_archived": (credits.on_programme_archived, reviews.on_programme_archived),
        runs.RELEASE_WANTED: (partial(releasing.on_release_wanted, criteria=criteria),),
        "enrolment_withdrawn": (releasing.on_enrolment_withdrawn,),
        "pairing_closed": (
            sessions.on_pairing_closed,
            reviews.on_pairing_closed,
            checkins.on_pairing_closed,
        ),
    }


def _tasks() -> dict[str, Any]:
    from rmplugin.hris import queries as hris_kinds
    from rmplugin.hris import tasks as hris
    from rmplugin.mailing import tasks as mailing
    from rmplugin.mailing.operations import NEWS_TO_POST
    from rmplugin.matching import tasks as matching
    from rmplugin.matching.counting import WANTED
    from rmplugin.people import tasks as people
    from rmplugin.people.queries import ACCEPTED_RUN, ROSTER_WANTED
    from rmplugin.scim import tasks as scim
    from rmplugin.scim.queries import CHANGED

    return {
        ROSTER_WANTED: people.read_course_roster,
        ACCEPTED_RUN: people.apply_accepted_run,
        hris_kinds.RUN_WANTED: hris.run_wanted,
        hris_kinds.CHECK_WANTED: hris.check_wanted,
        hris_kinds.PEOPLE_NOTICED: hris.fetch_noticed,
        CHANGED: scim.take_in_changes,
        WANTED: matching.count,
        NEWS_TO_POST: mailing.post_news,
    }


def make_worker(runtime: Runtime) -> dict[str, Any]:
    """Register the worker's tasks on the queue.

    :return: name -> huey task, callable to enqueue it.
    **Touches** the queue's registry only.
    """
    from huey import crontab

    from rmplugin.aims import tasks as aim_tasks
    from rmplugin.checkins import tasks as checkin_tasks
    from rmplugin.credits import reconciling
    from rmplugin.credits import tasks as credit_tasks
    from rmplugin.data_requests import tasks as privacy_tasks
    from rmplugin.freebusy import tasks as freebusy_tasks
    from rmplugin.hris import tasks as hris_tasks
    from rmplugin.introductions import tasks as introduction_tasks
    from rmplugin.leaving import tasks as leaving_tasks
    from rmplugin.mailing import tasks as mail_tasks
    from rmplugin.matching import tasks as matching_tasks
    from rmplugin.people import tasks as people_tasks
    from rmplugin.preparation import tasks as preparation_tasks
    from rmplugin.programmes import tasks as programme_tasks
    from rmplugin.reviews import tasks as review_tasks
    from rmplugin.sessions import tasks as session_tasks
    from rmplugin.tenants import tasks as tenant_tasks

    queue = runtime.queue

    def work() -> None:
        hris_tasks.want_due_runs(runtime)
        work_outbox(runtime)
        credit_tasks.deliver_due(runtime)
        mail_tasks.send_due(runtime)
        matching_tasks.expire_due(runtime)
        tenant_tasks.run_asked_checks(runtime)
        work_outbox(runtime, slow=True)
        freebusy_tasks.fetch_due(runtime)
        # Last, because it can take long; a queued run is its own outbox row.
        matching_tasks.run_queued(runtime)
        work_outbox(runtime)

    tasks = {"work": queue.task(name="work")(work)}
    queue.periodic_task(crontab(minute="*"), name="every_minute")(work)

    def tidy() -> None:
        tenant_tasks.tidy(runtime)
        hris_tasks.tidy(runtime)
        introduction_tasks.see_after(runtime)
        session_tasks.look_after(runtime)
        checkin_tasks.ask_due(runtime)
        leaving_tasks.look_after(runtime)
        preparation_tasks.remind_due(runtime)
        mail_tasks.tidy(runtime)
        runtime.database.learn_sizes()

    queue.periodic_task(crontab(minute="7"), name="every_hour")(tidy)
    # It is midnight somewhere every quarter of an hour.
    dates = partial(people_tasks.refresh_all_dates, runtime)
    queue.periodic_task(crontab(minute="*/15"), name="every_quarter")(dates)
    # The firewall has a turn of its own, so that nothing else that fails at night can keep it from running.
    nightly = {
        "every_night": ("17", programme_tasks.want_rosters),
        "nightly_places": ("22", programme_tasks.tend_places),
        "nightly_firewall": ("27", matching_tasks.check_firewall),
        "nightly_presence": ("37", matching_tasks.check_presence),
        "nightly_rerun": ("47", matching_tasks.rerun_waiting),
        "nightly_reviews": ("57", review_tasks.review_all),
        "nightly_aims": ("12", aim_tasks.remind),
        "nightly_grades": ("2", reconciling.compare_all),
        "nightly_removal": ("7", privacy_tasks.remove_due),
    }
    for name, (minute, task) in nightly.items():
        queue.periodic_task(crontab(hour="2", minute=minute), name=name)(partial(task, runtime))
    return tasks


def configure_logging(log_format: str) -> None:
    """Send the log to standard error, for people or for machines.

    **Touches** the process's logging.
    """
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")

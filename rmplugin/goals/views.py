"""Pages of goals."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rmplugin import web
from rmplugin.goals import operations, queries
from rmplugin.goals.forms import GoalForm, ProgressForm, ReviewForm
from rmplugin.goals.scoring import t_score
from rmplugin.matching.queries import get_pairing_of, list_pairings_of
from rmplugin.people.queries import display_names
from rmplugin.privacy import LEAST_FOR_COUNT
from rmplugin.programmes.catalogue import THEMES as WANTED_THEMES
from rmplugin.programmes.queries import get_managed_programme, get_programme
from rmplugin.texts import Text
from rmplugin.web import Role, Visit
from rmplugin.wording import with_hint

pages = web.Pages("goals", __name__)


@pages.get("/goals", role=Role.PARTICIPANT)
def my_goals(visit: Visit) -> web.Answer:
    """Show the person's own goals over all pairings, with the one to work on next on top."""
    me = visit.person_id
    pairings = list_pairings_of(visit.db, me)
    stories = queries.list_goals_of(visit.db, me)
    open_ones = sorted(
        (story for story in stories if story.goal.state == "open"), key=lambda story: story.current.due_on
    )
    active = {pairing.id: pairing for pairing in pairings if pairing.state == "active"}
    return web.render(
        "goals/my_goals.html",
        visit,
        open_ones=[story for story in open_ones if story.goal.pairing_id in active],
        others=[s for s in stories if s.goal.state != "open" or s.goal.pairing_id not in active],
        without=[p for p in active.values() if all(s.goal.pairing_id != p.id for s in open_ones)],
        pairings={pairing.id: pairing for pairing in pairings},
        names=display_names(visit.db, {pairing.partner_of(me) for pairing in pairings}),
        me=me,
        score=t_score([(s.review.attainment, s.current.weight) for s in stories if s.review]),
        level_text=queries.level_text,
        today=visit.now.date(),
        current="/goals",
    )


@pages.get("/pairings/<uuid:pairing_id>/goals/new", role=Role.PARTICIPANT)
def add_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the form of a new goal."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    programme = get_programme(visit.db, pairing.programme_id)
    return web.render(
        "goals/edit.html",
        visit,
        pairing=pairing,
        story=None,
        role=pairing.role_of(visit.person_id),
        values={"due_on": programme.ends_on, "weight": 1},
    )


@pages.post("/pairings/<uuid:pairing_id>/goals", role=Role.PARTICIPANT, on_input_error=add_page)
def add_goal(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Set a goal."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(GoalForm())
    operations.add_goal(visit.db, pairing, values, visit.person_id, visit.now)
    return web.go(
        "dashboard.pairing",
        said=with_hint("Your goal is set. Both of you can see it here.", *_words(values)),
        pairing_id=pairing_id,
    )


@pages.get("/goals/<uuid:goal_id>", role=Role.PARTICIPANT)
def goal_page(visit: Visit, goal_id: UUID) -> web.Answer:
    """Show a goal with its scale, its way and its versions."""
    return _page(visit, goal_id, "goals/goal.html")


@pages.get("/goals/<uuid:goal_id>/change", role=Role.PARTICIPANT)
def change_page(visit: Visit, goal_id: UUID) -> web.Answer:
    """Show the form that changes a goal's words."""
    story, pairing = queries.get_goal_of(visit.db, goal_id, visit.person_id)
    return web.render(
        "goals/edit.html",
        visit,
        pairing=pairing,
        story=story,
        role=pairing.role_of(visit.person_id),
        values={name: getattr(story.current, name) for name in queries.FIELDS},
    )


@pages.post("/goals/<uuid:goal_id>/change", role=Role.PARTICIPANT, on_input_error=change_page)
def change_goal(visit: Visit, goal_id: UUID) -> web.Answer:
    """Change a goal's words."""
    story, _pairing = queries.get_goal_of(visit.db, goal_id, visit.person_id)
    values = web.load_form(GoalForm())
    version = operations.change_goal(visit.db, story.goal, values, visit.person_id, visit.now)
    said = Text(
        "Your change is saved as version %(version)s. The first version stays for comparison.",
        version=version.version,
    )
    return web.go("goals.goal_page", said=with_hint(said, *_words(values)), goal_id=goal_id)


@pages.post("/goals/<uuid:goal_id>/progress", role=Role.PARTICIPANT, on_input_error=goal_page)
def record_progress(visit: Visit, goal_id: UUID) -> web.Answer:
    """Write down where a goal stands."""
    story, _pairing = queries.get_goal_of(visit.db, goal_id, visit.person_id)
    values = web.load_form(ProgressForm())
    operations.record_progress(
        visit.db, story.goal, visit.person_id, values["attainment"], values["note"], visit.now
    )
    return web.go("goals.goal_page", said="Your progress is saved.", goal_id=goal_id)


@pages.get("/goals/<uuid:goal_id>/review", role=Role.PARTICIPANT)
def review_page(visit: Visit, goal_id: UUID) -> web.Answer:
    """Show the initial goal and the goal as it reads now side by side, and ask where it stands."""
    return _page(visit, goal_id, "goals/review.html")


@pages.post("/goals/<uuid:goal_id>/review", role=Role.PARTICIPANT, on_input_error=review_page)
def review_goal(visit: Visit, goal_id: UUID) -> web.Answer:
    """Close a goal by comparing now with the beginning."""
    story, pairing = queries.get_goal_of(visit.db, goal_id, visit.person_id)
    values = web.load_form(ReviewForm())
    operations.review_goal(visit.db, story.goal, visit.person_id, now=visit.now, **values)
    said = "Your goal is reviewed. It counts towards completing the programme."
    return web.go("dashboard.pairing", said=said, pairing_id=pairing.id)


@pages.get("/goals/<uuid:goal_id>/half-way", role=Role.PARTICIPANT)
def half_way_page(visit: Visit, goal_id: UUID) -> web.Answer:
    """Show the initial goal beside the goal as it reads now, half-way, and ask where it stands."""
    return _page(visit, goal_id, "goals/review.html", is_mid=True)


@pages.post("/goals/<uuid:goal_id>/half-way", role=Role.PARTICIPANT, on_input_error=half_way_page)
def compare_half_way(visit: Visit, goal_id: UUID) -> web.Answer:
    """Keep where a goal stands half-way, compared with its beginning."""
    story, _pairing = queries.get_goal_of(visit.db, goal_id, visit.person_id)
    values = web.load_form(ReviewForm())
    operations.review_goal(visit.db, story.goal, visit.person_id, now=visit.now, is_mid=True, **values)
    said = "Kept. If something has to change, change the goal, or write a new version of your agreement."
    return web.go("goals.goal_page", said=said, goal_id=goal_id)


@pages.post("/goals/<uuid:goal_id>/drop", role=Role.PARTICIPANT)
def drop_goal(visit: Visit, goal_id: UUID) -> web.Answer:
    """Give up a goal."""
    story, pairing = queries.get_goal_of(visit.db, goal_id, visit.person_id)
    operations.drop_goal(visit.db, story.goal, visit.person_id)
    return web.go("dashboard.pairing", said="The goal is dropped. Its words are kept.", pairing_id=pairing.id)


def _words(values: Mapping[str, Any]) -> list[str]:
    return [value for value in values.values() if isinstance(value, str)]


@pages.get("/programmes/<uuid:programme_id>/goals", role=Role.MANAGER)
def themes_page(visit: Visit, programme_id: UUID) -> web.Answer:
    """Show the manager which themes mentees learn about, as counts, and how many have no goal."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    themes, without = queries.count_themes(visit.db, programme.id)
    return web.render(
        "goals/themes.html",
        visit,
        programme=programme,
        themes=themes,
        without=without,
        wanted=queries.count_wanted(visit.db, programme.id),
        wanted_themes=WANTED_THEMES,
        least=LEAST_FOR_COUNT,
    )


def _page(visit: Visit, goal_id: UUID, template: str, *, is_mid: bool = False) -> web.Answer:
    story, pairing = queries.get_goal_of(visit.db, goal_id, visit.person_id)
    return web.render(
        template,
        visit,
        pairing=pairing,
        story=story,
        is_mid=is_mid,
        half_way=story.is_half_way(visit.now.date()),
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        is_mine=story.goal.owner_id == visit.person_id,
        can_write=story.goal.owner_id == visit.person_id
        and story.goal.state == "open"
        and pairing.state == "active",
        level_text=queries.level_text,
        levels=list(queries.LEVEL_FIELDS),
    )

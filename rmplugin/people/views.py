"""Pages on who an LMS user is: for managers, who decide where the values that the LMS sends do not."""

import uuid
from typing import Any

from rmplugin import web
from rmplugin.errors import InputError, NotAllowedError
from rmplugin.people import forms, linking, queries
from rmplugin.people.models import Person
from rmplugin.tenants.models import LtiContext
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("people", __name__)


@pages.post("/people/course/read", role=Role.MANAGER)
def read_course(visit: Visit) -> web.Answer:
    """Have the members of the course read now."""
    context_id = visit.session.context_id
    context = visit.db.get(LtiContext, context_id) if context_id is not None else None
    if context is None:
        raise NotAllowedError("no_course", "The activity was not opened from a course. Nothing was changed.")
    # Somebody who asks wants to be sure: everybody is read, not only what the LMS calls changed.
    context.roster_link = None
    linking.want_roster(visit.db, context, visit.now)
    return web.go("dashboard.course_people")


@pages.get("/people/course/<uuid:lti_user_id>", role=Role.MANAGER)
def member(visit: Visit, lti_user_id: uuid.UUID) -> web.Answer:
    """Show who an LMS user is taken for, and let the manager decide."""
    return web.render("people/member.html", visit, **_story(visit, lti_user_id))


@pages.post("/people/course/<uuid:lti_user_id>/find", role=Role.MANAGER, on_input_error=member)
def find_person(visit: Visit, lti_user_id: uuid.UUID) -> web.Answer:
    """Show the one person whom the manager named, for a second look."""
    story = _story(visit, lti_user_id)
    _refuse_own(visit, lti_user_id)
    found = queries.find_working(visit.db, web.load_form(forms.WhoForm())["who"])
    if len(found) != 1:
        nobody = "Nobody at work has exactly this employee number or e-mail address. Check the staff list."
        several = "More than one person has this. Type the other: number or e-mail address."
        raise InputError("person_unclear", nobody, {"who": several if found else nobody})
    story["others"] = queries.others_claiming(visit.db, story["user"], found[0])
    return web.render("people/confirm.html", visit, **story, chosen=found[0])


@pages.post("/people/course/<uuid:lti_user_id>/link", role=Role.MANAGER, on_input_error=member)
def link(visit: Visit, lti_user_id: uuid.UUID) -> web.Answer:
    """Link an LMS user to the person whom the manager saw and confirmed."""
    _row, user, _person = queries.get_member(visit.db, visit.session.context_id, lti_user_id)
    _refuse_own(visit, lti_user_id)
    person = visit.db.get(Person, web.load_form(forms.LinkForm())["person"])
    if person is None:
        raise InputError("person_unclear", "This person is not in the staff list. Nothing was changed.")
    assert visit.session.context_id is not None
    linking.link_by_hand(visit.db, visit.session.context_id, user, person, visit.actor, visit.now)
    said = Text(
        "Linked to %(name)s. It holds from the next time they open the activity.",
        name=person.display_name,
    )
    return web.go("people.member", said, lti_user_id=lti_user_id)


@pages.post("/people/course/<uuid:lti_user_id>/undo", role=Role.MANAGER)
def undo(visit: Visit, lti_user_id: uuid.UUID) -> web.Answer:
    """Undo a wrong link, or decide that a claim is none."""
    _row, user, _person = queries.get_member(visit.db, visit.session.context_id, lti_user_id)
    linking.undo_link(visit.db, user, visit.actor, visit.now)
    said = "They are linked to nobody now, and stay so until you link them."
    return web.go("people.member", said, lti_user_id=lti_user_id)


def _story(visit: Visit, lti_user_id: uuid.UUID) -> dict[str, Any]:
    """Gather what is known of a member of the manager's own course."""
    row, user, person = queries.get_member(visit.db, visit.session.context_id, lti_user_id)
    return {
        "member": row,
        "user": user,
        "person": person,
        "others": queries.others_claiming(visit.db, user, person) if person is not None else [],
        "why": queries.LINK_PROBLEMS.get(user.link_problem or ""),
        "is_self": user.id == visit.session.lti_user_id,
        "sources": queries.SOURCE_WORDS,
    }


def _refuse_own(visit: Visit, lti_user_id: uuid.UUID) -> None:
    """Keep managers from becoming somebody else: a person's pages are theirs alone."""
    if lti_user_id == visit.session.lti_user_id:
        raise NotAllowedError(
            "own_link", "Nobody links themselves. Ask another manager of this course. Nothing was changed."
        )

"""Pages about sign-up: questions and concerns, the survey, the launch, how sign-up goes and what helps."""

import uuid

from rmplugin import web
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.matching.desk import criteria_of
from rmplugin.people.queries import zone_of
from rmplugin.programmes import forms as programmes_words
from rmplugin.programmes import queries as programmes
from rmplugin.programmes.models import Programme
from rmplugin.signup import forms, operations, outlook, queries
from rmplugin.texts import Text, texts
from rmplugin.web import Role, Visit
from rmplugin.wording import with_hint

pages = web.Pages("signup", __name__)

ANSWERS = texts({"asked": "no answer yet", "yes": "yes", "not_now": "not now, without a reason"})
STAGES = texts(
    {
        "invited": "when invited",
        "started": "while answering",
        "endorsing": "while waiting for the line manager",
        "waitlisted": "on the waiting list",
        "submitted": "signed up, without a partner",
        "paused": "in a pause",
        "paired": "with a partner",
    }
)


def _managed(visit: Visit, programme_id: uuid.UUID) -> Programme:
    return programmes.get_managed_programme(visit.db, programme_id, visit.session.context_id)


def _of_course(visit: Visit, programme_id: uuid.UUID) -> Programme:
    """Give a programme to anybody in its course."""
    found = programmes.get_programme(visit.db, programme_id)
    is_here = found.context_id in (None, visit.session.context_id)
    if not is_here and visit.session.person_id is not None:
        is_here = programmes.find_enrolment(visit.db, found.id, visit.session.person_id) is not None
    if not is_here:
        raise NotFoundError("programme")
    return found


@pages.get("/programmes/<uuid:programme_id>/questions", role=Role.VISITOR)
def questions(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show questions with their answers, tasters, and the box for concerns."""
    found = _of_course(visit, programme_id)
    if found.state == "draft" and not visit.is_manager:
        raise NotFoundError("programme")
    return web.render(
        "signup/questions.html",
        visit,
        programme=found,
        answers=queries.public_answers(visit.db, found.id),
        tasters=queries.tasters(visit.db, found.id, visit.now),
        zone=zone_of(visit.db, visit.session.person_id),
        concerns=forms.CONCERNS,
    )


@pages.post("/programmes/<uuid:programme_id>/questions", role=Role.VISITOR, on_input_error=questions)
def raise_concern(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Put a concern into the box, without a name."""
    found = _of_course(visit, programme_id)
    values = web.load_form(forms.ConcernForm())
    operations.raise_concern(visit.db, found, values["code"], values["text"], visit.now)
    said = "Thank you. The programme team reads it without your name, and answers on this page for everybody."
    return web.go("signup.questions", said, programme_id=found.id)


@pages.get("/programmes/<uuid:programme_id>/concerns", role=Role.MANAGER)
def concerns_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the concerns that wait, their trend, and the public answers."""
    found = _managed(visit, programme_id)
    return web.render(
        "signup/concerns.html",
        visit,
        programme=found,
        box=queries.concerns_of(visit.db, found.id),
        answers=queries.public_answers(visit.db, found.id),
        names=forms.CONCERN_NAMES,
    )


@pages.post("/programmes/<uuid:programme_id>/concerns", role=Role.MANAGER, on_input_error=concerns_page)
def publish_answer(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Answer a question for everybody."""
    found = _managed(visit, programme_id)
    values = web.load_form(forms.AnswerForm())
    operations.publish_answer(visit.db, found, actor=visit.actor, now=visit.now, **values)
    said = with_hint("The answer is public now.", values["question"], values["answer"])
    return web.go("signup.concerns_page", said, programme_id=found.id)


@pages.get("/programmes/<uuid:programme_id>/answers/<uuid:public_answer_id>", role=Role.MANAGER)
def answer_page(visit: Visit, programme_id: uuid.UUID, public_answer_id: uuid.UUID) -> web.Answer:
    """Show a public answer for changing."""
    found = _managed(visit, programme_id)
    row = queries.get_answer(visit.db, found.id, public_answer_id)
    return web.render("signup/answer.html", visit, programme=found, row=row)


@pages.post(
    "/programmes/<uuid:programme_id>/answers/<uuid:public_answer_id>",
    role=Role.MANAGER,
    on_input_error=answer_page,
)
def change_answer(visit: Visit, programme_id: uuid.UUID, public_answer_id: uuid.UUID) -> web.Answer:
    """Keep other words for a public answer."""
    found = _managed(visit, programme_id)
    row = queries.get_answer(visit.db, found.id, public_answer_id)
    values = web.load_form(forms.AnswerForm())
    operations.change_answer(visit.db, row, values["question"], values["answer"], visit.actor, visit.now)
    said = with_hint("The answer is changed.", values["question"], values["answer"])
    return web.go("signup.concerns_page", said, programme_id=found.id)


@pages.post("/programmes/<uuid:programme_id>/answers/<uuid:public_answer_id>/away", role=Role.MANAGER)
def remove_answer(visit: Visit, programme_id: uuid.UUID, public_answer_id: uuid.UUID) -> web.Answer:
    """Take a public answer away."""
    found = _managed(visit, programme_id)
    row = queries.get_answer(visit.db, found.id, public_answer_id)
    operations.remove_answer(visit.db, row, visit.actor, visit.now)
    return web.go("signup.concerns_page", "The answer is no longer public.", programme_id=found.id)


@pages.get("/programmes/<uuid:programme_id>/survey", role=Role.VISITOR)
def survey(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the readiness survey."""
    found = _of_course(visit, programme_id)
    row = queries.find_readiness(visit.db, found.id)
    if row is None:
        raise NotFoundError("survey")
    return web.render(
        "signup/survey.html",
        visit,
        programme=found,
        is_open=row.is_open,
        answered=queries.has_answered(visit.db, found.id, visit.session.lti_user_id),
        items=forms.ITEMS,
        scale=forms.AGREEMENT,
    )


@pages.post("/programmes/<uuid:programme_id>/survey", role=Role.VISITOR, on_input_error=survey)
def answer_survey(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Add the answers up with those of the others."""
    found = _of_course(visit, programme_id)
    answers = web.load_form(forms.SurveyForm())
    operations.answer_survey(visit.db, found, visit.session.lti_user_id, answers)
    return web.go(
        "signup.survey", "Thank you. Your answers are added up with those of others.", programme_id=found.id
    )


@pages.get("/programmes/<uuid:programme_id>/readiness", role=Role.MANAGER)
def readiness_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the survey's result, and open or close it."""
    found = _managed(visit, programme_id)
    row = queries.find_readiness(visit.db, found.id)
    return web.render(
        "signup/readiness.html",
        visit,
        programme=found,
        row=row,
        means=queries.survey_means(row),
        least=queries.LEAST_MEAN,
        items=forms.ITEMS,
    )


@pages.post("/programmes/<uuid:programme_id>/readiness", role=Role.MANAGER)
def switch_survey(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Open or close the survey."""
    found = _managed(visit, programme_id)
    is_open = web.load_form(forms.OpenForm())["is_open"]
    operations.switch_survey(visit.db, found, visit.actor, visit.now, is_open=is_open)
    opened = "The survey is open. Everybody in the course finds it on their home page."
    said = opened if is_open else "The survey is closed."
    return web.go("signup.readiness_page", said, programme_id=found.id)


@pages.get("/programmes/<uuid:programme_id>/launch", role=Role.MANAGER)
def launch_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show what is ready and what is not, before enrolment opens."""
    found = _managed(visit, programme_id)
    checks = queries.check_readiness(visit.db, found, visit.now.date())
    return web.render(
        "signup/launch.html",
        visit,
        programme=found,
        checks=checks,
        warnings=[check for check in checks if check.level == "warning"],
        overrides=forms.OVERRIDES,
    )


@pages.post("/programmes/<uuid:programme_id>/launch", role=Role.MANAGER, on_input_error=launch_page)
def launch(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Open enrolment."""
    found = _managed(visit, programme_id)
    reason = web.load_form(forms.LaunchForm())["reason"]
    operations.launch(visit.db, found, reason, visit.actor, visit.now)
    said = "Enrolment is open. Now invite people; whoever is eligible can also sign up by themselves."
    return web.go("programmes.people", said, programme_id=found.id)


@pages.get("/programmes/<uuid:programme_id>/sign-up", role=Role.MANAGER)
def funnel_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show how sign-up goes, how it will end, and what would help."""
    found = _managed(visit, programme_id)
    return web.render(
        "signup/funnel.html",
        visit,
        programme=found,
        funnel=queries.funnel_of(visit.db, found, visit.now),
        missing=queries.missing_in_pool(visit.db, found, visit.now, criteria_of(visit)),
        causes=outlook.CAUSES,
        actions=outlook.ACTIONS,
        reasons=programmes_words.DECLINE_REASONS,
        choices=programmes_words.TIME_CHOICES,
        answers={**programmes_words.NOT_NOW_REASONS, **ANSWERS},
        stages=STAGES,
        tasters=queries.tasters(visit.db, found.id, visit.now),
        zone=zone_of(visit.db, visit.session.person_id),
    )


@pages.post("/programmes/<uuid:programme_id>/sign-up/nudge", role=Role.MANAGER)
def nudge(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Write to everybody who has not answered."""
    found = _managed(visit, programme_id)
    message = web.load_form(forms.NudgeForm())["message"]
    people = operations.nudge(visit.db, found, message, visit.actor, visit.now)
    return web.go(
        "signup.funnel_page", Text("%(n)s people were written to.", n=people), programme_id=found.id
    )


@pages.post("/programmes/<uuid:programme_id>/sign-up/taster", role=Role.MANAGER, on_input_error=funnel_page)
def add_taster(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Offer a taster session."""
    found = _managed(visit, programme_id)
    values = web.load_form(forms.TasterForm())
    people = operations.add_taster(visit.db, found, actor=visit.actor, now=visit.now, **values)
    said = Text("The session is on the page of questions and answers; %(n)s people were told.", n=people)
    return web.go("signup.funnel_page", said, programme_id=found.id)


@pages.post("/programmes/<uuid:programme_id>/sign-up/taster/<uuid:taster_id>/away", role=Role.MANAGER)
def remove_taster(visit: Visit, programme_id: uuid.UUID, taster_id: uuid.UUID) -> web.Answer:
    """Take a taster session away."""
    found = _managed(visit, programme_id)
    operations.remove_taster(visit.db, found, taster_id, visit.actor, visit.now)
    return web.go("signup.funnel_page", "The session is taken away.", programme_id=found.id)


@pages.post("/programmes/<uuid:programme_id>/sign-up/extend", role=Role.MANAGER, on_input_error=funnel_page)
def extend(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Let people sign up for longer."""
    found = _managed(visit, programme_id)
    last_day = web.load_form(forms.ExtendForm())["sign_up_until"]
    operations.extend(visit.db, found, last_day, visit.actor, visit.now)
    return web.go("signup.funnel_page", "People can sign up for longer now.", programme_id=found.id)


@pages.post("/programmes/<uuid:programme_id>/sign-up/ease", role=Role.MANAGER, on_input_error=funnel_page)
def ease(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Ask for less time."""
    found = _managed(visit, programme_id)
    if found.state not in ("draft", "enrolling"):
        raise ConflictError(
            "programme_running", "The programme runs already. Pairs agree on less time by themselves."
        )
    values = web.load_form(forms.EaseForm())
    less = (values["allowance_minutes"], values["session_minutes"], values["cadence_weeks"])
    people = operations.ease(visit.db, found, *less, visit.actor, visit.now)
    said = Text("It asks for less time now; %(n)s people were told.", n=people)
    return web.go("signup.funnel_page", said, programme_id=found.id)

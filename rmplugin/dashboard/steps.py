"""The one thing to do next: on home, and in a pairing."""

import uuid
from typing import NamedTuple

import flask

from rmplugin.dashboard.queries import Home, other_of
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.queries import current_break
from rmplugin.texts import Text
from rmplugin.web import Visit

# Notices that ask for something about a pairing: the oldest is the next step, when nothing is more urgent.
ASKING = (
    "intro_again",
    "draft_missing",
    "drafts_ready",
    "agreement_to_sign",
    "checkin_due",
    "aim_observation",
)
ON_HOLD = (
    "Your pairing with %(name)s is on hold for the time being. You need not do anything, and nothing is "
    "lost; you hear from us when it goes on."
)


class Step(NamedTuple):
    """The one thing to do next.

    :param path: None when there is nothing to open.
    :param on_hold: it says of a pairing that it is on hold, so that no notice need.
    """

    text: str
    path: str | None = None
    link: str = ""
    on_hold: bool = False


def next_step(visit: Visit, home: Home) -> Step:
    """Choose the one thing to do next on a person's home: a proposal, then a pairing, then the enrolment."""
    if home.proposals:
        proposal = home.proposals[0]
        mine = proposal.mentor_answer if proposal.mentor_id == visit.person_id else proposal.mentee_answer
        partner = home.partners[other_of(proposal, visit.person_id)].display_name
        if mine is None:
            return Step(
                Text(
                    "We propose to bring you together with %(partner)s. See why, and say yes or no.",
                    partner=partner,
                ),
                f"/proposals/{proposal.id}",
                "See the proposal",
            )
        if not home.cards:
            return Step(
                Text(
                    "You answered. As soon as %(partner)s says yes, too, your pairing begins.",
                    partner=partner,
                ),
                f"/proposals/{proposal.id}",
                "See the proposal again",
            )
    return _card_step(visit, home) if home.cards else _enrolment_step(home)


def _card_step(visit: Visit, home: Home) -> Step:
    card = next((card for card in home.cards if card.to_confirm), home.cards[0])
    name = card.partner.display_name
    path, link = flask.url_for("dashboard.pairing", pairing_id=card.pairing.id), "Open your pairing"
    if card.pairing.is_on_hold:
        return Step(Text(ON_HOLD, name=name), path, link, on_hold=True)
    if card.to_confirm:
        return confirm_step(card.to_confirm[0])
    pause = current_break(visit.db, card.pairing.id, visit.now.date())
    if pause is not None and pause.pause_until is not None:
        said = "Your pairing with %(name)s takes a break until %(day)s. You need not do anything."
        return Step(Text(said, name=name, day=pause.pause_until.isoformat()), path, link)
    here = f"/pairings/{card.pairing.id}/"
    for notice in home.notices:
        if notice.kind in ASKING and (notice.path or "").startswith(here):
            return Step(notice.text, notice.path, "Go there")
    return Step(Text("Go on with %(name)s.", name=name), path, link)


def _enrolment_step(home: Home) -> Step:
    if home.programme is None:
        return Step("No programme runs in this course yet. You need not do anything.")
    if home.short_list:
        return Step(
            "You are in. Before the matching you can say whom you would like to meet.",
            f"/programmes/{home.programme.id}/short-list",
            "See your short list",
        )
    path = f"/enrol/{home.programme.id}"
    if home.enrolment is None:
        if home.fit is not None and home.fit.role:
            return Step(
                Text("You can take part as a %(role)s. See what it asks of you.", role=Text(home.fit.role)),
                path,
                "See the programme",
            )
        return Step("This programme is for other people this time.", path, "See why")
    steps = {
        "invited": Step(
            "You are invited. See what it asks of you, and say yes or no.", path, "Answer the invitation"
        ),
        "started": Step("Your answers are not sent yet.", path, "Go on with your answers"),
        "endorsing": Step(
            "Your line manager is asked for the weekly time; you hear from us.",
            path,
            "See how it stands",
        ),
        "waitlisted": Step("You are on the waiting list.", path, "See how it stands"),
        "paused": Step("You pause, and come back by yourself.", path, "See until when"),
        "submitted": Step("You are in. As soon as there is a partner for you, you find the proposal here."),
        "declined": Step("You declined. You can still change your mind.", path, "See the programme"),
        "withdrawn": Step(
            "You have left the programme. You can come back while it runs.", path, "See the programme"
        ),
        "completed": Step(
            "You have completed the programme. Thank you!",
            f"/programmes/{home.programme.id}/record",
            "See what you reached",
        ),
    }
    return steps[home.enrolment.state]


def confirm_step(waiting: MentoringSession | None) -> Step:
    """Ask for the word about a session, or for a second look where the two words lie apart."""
    path = f"/sessions/{waiting.id}" if waiting else ""
    if waiting is not None and waiting.state == "disputed":
        return Step(
            "The two of you gave different lengths for a session. It counts as soon as they fit.",
            path,
            "Compare both, and correct yours",
        )
    return Step("Did your session take place? Say how long it was.", path, "Confirm the session")


def pair_step(
    open_: dict[str, bool], pairing_id: uuid.UUID, partner: str, waiting: MentoringSession | None
) -> Step:
    """Choose the one thing to do next in a pairing: the first that is open, in this order.

    :param waiting: the session that waits for the person's word; None for none.
    """
    here = f"/pairings/{pairing_id}"
    steps = {
        "over": Step(
            "This pairing has ended. What the two of you wrote stays readable for you.",
            f"{here}/parting",
            "See what comes next, and say thank you",
        ),
        "on_hold": Step(Text(ON_HOLD, name=partner)),
        "intro": Step(
            Text("Talk with %(partner)s first, and then say for yourself whether to go on.", partner=partner),
            f"{here}/introduction",
            "Go to the first call",
        ),
        "intro_waits": Step(
            Text(
                "Your answer is kept. As soon as %(partner)s has answered, too, it goes on.", partner=partner
            ),
            f"{here}/introduction",
            "See or change your answer",
        ),
        "sign": Step(
            Text("A version of the agreement with %(partner)s waits for your signature.", partner=partner),
            f"{here}/agreement",
            "Read and sign it",
        ),
        "confirm": confirm_step(waiting),
        "break": Step("Your pairing takes a break. You need not do anything, and nothing is lost."),
        "checkin": Step(
            Text(
                "How is it going, for you? A check-in of two minutes; %(partner)s never sees your answers.",
                partner=partner,
            ),
            f"{here}/checkin",
            "Answer the check-in",
        ),
        "expect": Step(
            "Write down, for yourself, what you expect: how often and where you meet, what you hope for, "
            "what stays between you.",
            f"{here}/agreement/draft",
            "Write down what you expect",
        ),
        "compare": Step(
            Text(
                "You and %(partner)s have written down what you expect. See where you differ.",
                partner=partner,
            ),
            f"{here}/agreement",
            "Make one agreement of both",
        ),
        "goal": Step(
            "What do you want to take with you? Set a goal of your own.", f"{here}/goals/new", "Set a goal"
        ),
        "prepare": Step(
            "Prepare for your first session with a few short modules. You can plan it when both are ready.",
            f"{here}/preparation",
            "Go to your preparation",
        ),
        "first": Step(
            Text("Plan your first session with %(partner)s.", partner=partner),
            f"{here}/sessions/new",
            "Plan the first session",
        ),
        "wait_for_signature": Step(
            Text(
                "Your agreement waits for the signature of %(partner)s. After that you can plan the next "
                "session.",
                partner=partner,
            ),
            f"{here}/agreement",
            "See the agreement",
        ),
        "wait_for_draft": Step(
            Text("Next, %(partner)s writes down what they expect. Then you compare both.", partner=partner),
            f"{here}/agreement",
            "See the agreement",
        ),
        "plan": Step(
            Text("Plan your next session with %(partner)s.", partner=partner),
            f"{here}/sessions/new",
            "Plan the next session",
        ),
    }
    return next(
        (steps[name] for name in steps if open_[name]),
        Step("All is set. The next step is your session; come back here afterwards to confirm it."),
    )

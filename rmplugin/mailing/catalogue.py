"""Every kind of notice in the words of a mail: what kind of thing waits, and nothing of what it says."""

from typing import NamedTuple

from rmplugin.texts import Text, texts

# How somebody can be told of a group of kinds.
WAYS = texts(
    {
        "at_once": "By mail, at once",
        "digest": "By mail, once a day",
        "off": "Only in the tool",
    }
)
# What people choose about, in the order of the page. The last one cannot be switched off.
GROUPS = texts(
    {
        "proposals": "Invitations and proposals",
        "sessions": "Sessions, agreement and goals",
        "messages": "Messages of your partner",
        "checkins": "Check-ins",
        "news": "News of the programme",
        "service": "Changes that you have to know of",
    }
)
GROUP_HINTS = texts(
    {
        "proposals": "You are invited, or somebody could fit you.",
        "sessions": "A session was planned, moved or cancelled, or waits for your word. Sessions also come "
        "as an invitation for your calendar.",
        "messages": "Somebody wrote to you. The mail never says what.",
        "checkins": "A short check-in is due.",
        "news": "What the programme's team tells everybody, and what a programme needs from its managers.",
        "service": "A pairing has ended or is on hold, or something about your data was done. These are few, "
        "and they cannot be switched off.",
    }
)
SERVICE = "service"
DEFAULT_WAYS = {
    "proposals": "at_once",
    "sessions": "at_once",
    "messages": "at_once",
    "checkins": "at_once",
    "news": "digest",
    SERVICE: "at_once",
}


class Kind(NamedTuple):
    """The words of a kind of mail.

    :param group: one of `GROUPS`.
    :param subject: also its line in a letter that bundles several.
    :param sentence: what waits.
    :param button: what the button leads to.
    :param direct: the button leads to the notice's own page, which opens without a login; such a mail goes
        alone.
    """

    group: str
    subject: Text
    sentence: Text
    button: Text
    direct: bool = False


OPEN = Text("Open the programme")
KINDS = {
    "programme_invitation": Kind(
        "proposals",
        Text("You are invited to a mentoring programme"),
        Text("You are invited to reverse mentoring. Have a look and decide for yourself."),
        Text("See the invitation"),
    ),
    "proposal": Kind(
        "proposals",
        Text("A proposal waits for you"),
        Text("Somebody could fit you. Please look at the proposal and say yes or no."),
        Text("See the proposal"),
    ),
    "proposal_closed": Kind(
        "proposals",
        Text("A proposal is closed"),
        Text("Nothing comes of one of your proposals. You need not do anything."),
        OPEN,
    ),
    "proposal_withdrawn": Kind(
        "proposals",
        Text("A proposal was taken back"),
        Text("One of your proposals was taken back. You need not do anything."),
        OPEN,
    ),
    "endorsement_asked": Kind(
        "proposals",
        Text("A colleague asks for your word"),
        Text("Somebody whom you lead would like to take part in reverse mentoring. Please say yes or no."),
        Text("Answer with one click"),
        direct=True,
    ),
    "endorsement_answered": Kind(
        "proposals",
        Text("Your manager has answered"),
        Text("There is an answer about the time that you need for reverse mentoring."),
        OPEN,
    ),
    "place_free": Kind(
        "proposals",
        Text("There is a place for you"),
        Text("A place in a programme that you waited for is free."),
        OPEN,
    ),
    "pause_over": Kind(
        "proposals",
        Text("Your break is over"),
        Text("The break that you asked for is over. Have a look at how it goes on."),
        OPEN,
    ),
    "programme_taster": Kind(
        "news",
        Text("A taster of a mentoring programme"),
        Text("You can get to know a programme before you decide."),
        Text("Have a look"),
    ),
    "programme_eased": Kind(
        "news",
        Text("A programme asks for less time"),
        Text("A programme that you know asks for less time than before."),
        Text("Have a look"),
    ),
    "preparation_reminder": Kind(
        "sessions",
        Text("A short preparation waits for you"),
        Text("A few minutes of preparation wait for you, before your first session."),
        Text("Prepare"),
    ),
    "supervision_group": Kind(
        "news",
        Text("News of your exchange group"),
        Text("Something is new about the group in which you talk over mentoring with others."),
        OPEN,
    ),
    "pairing_started": Kind(
        "proposals",
        Text("Your pairing begins"),
        Text("Both of you said yes. You can plan your first session."),
        Text("Open your pairing"),
    ),
    "pairing_state": Kind(
        SERVICE,
        Text("Something about your pairing has changed"),
        Text("Your pairing is on hold, or goes on. The programme's page says which."),
        Text("Open your pairing"),
    ),
    "pairing_ended": Kind(
        SERVICE,
        Text("Your pairing has ended"),
        Text("Your pairing has ended. The programme's page says what you can do next."),
        OPEN,
    ),
    "pairing_completed": Kind(
        SERVICE,
        Text("Your pairing is completed"),
        Text("You have come to the end together. What you take along waits for you."),
        Text("Open your pairing"),
    ),
    "thanks": Kind(
        "messages",
        Text("Somebody thanks you"),
        Text("A word of thanks waits for you."),
        Text("Read it"),
    ),
    "pairing_break": Kind(
        "sessions",
        Text("Something is new about a break"),
        Text("A break in your pairing begins, ends or is asked for."),
        Text("Open your pairing"),
    ),
    "intro_done": Kind(
        "sessions",
        Text("Your first call is done"),
        Text("Both of you have said how to go on."),
        Text("Open your pairing"),
    ),
    "intro_again": Kind(
        "sessions",
        Text("A short question about your pairing"),
        Text("After your second session, please say again whether you want to go on."),
        Text("Answer"),
    ),
    "draft_missing": Kind(
        "sessions",
        Text("Your part of the agreement is missing"),
        Text("Your partner has written what they expect. Please write your part, too."),
        Text("Write your part"),
    ),
    "drafts_ready": Kind(
        "sessions",
        Text("Both of you have written what you expect"),
        Text("You can look at both parts together and make one agreement of them."),
        Text("Compare"),
    ),
    "agreement_to_sign": Kind(
        "sessions",
        Text("Your mentoring agreement waits for you"),
        Text("A version of your agreement is ready. Please read it and sign it."),
        Text("See the agreement"),
    ),
    "agreement_signed": Kind(
        "sessions",
        Text("Your mentoring agreement is signed"),
        Text("Both of you have signed. The agreement is in force."),
        Text("See the agreement"),
    ),
    "session_planned": Kind(
        "sessions",
        Text("A mentoring session was planned"),
        Text("A session was planned. The invitation for your calendar comes with this mail."),
        Text("See the session"),
    ),
    "session_moved": Kind(
        "sessions",
        Text("A mentoring session was moved"),
        Text("A session has another time. The update for your calendar comes with this mail."),
        Text("See the session"),
    ),
    "session_cancelled": Kind(
        "sessions",
        Text("A mentoring session was cancelled"),
        Text("A session was cancelled. This mail takes it out of your calendar."),
        OPEN,
    ),
    "session_changed": Kind(
        "sessions",
        Text("Something is new about a session"),
        Text("Something is new about one of your sessions, or it waits for your word."),
        Text("See the session"),
    ),
    "session_reminder": Kind(
        "sessions",
        Text("A session waits for your word"),
        Text("A session waits for your word: did it take place, and how long was it?"),
        Text("See the session"),
    ),
    "session_lapsed": Kind(
        "sessions",
        Text("A session has lapsed"),
        Text("A session was not confirmed by both within two weeks, so that it does not count."),
        Text("See the session"),
    ),
    "session_attested": Kind(
        "sessions",
        Text("A session was attested"),
        Text("The programme's team has attested a session of yours."),
        Text("See the session"),
    ),
    "item_done": Kind(
        "sessions",
        Text("Something that was promised is done"),
        Text("Your partner has done something that you noted together."),
        Text("Open your pairing"),
    ),
    "aim_observation": Kind(
        "sessions",
        Text("A look at a leadership aim"),
        Text("An observation about a leadership aim waits."),
        Text("Open your pairing"),
    ),
    "message": Kind(
        "messages",
        Text("A message waits for you"),
        Text("Somebody wrote to you. Read and answer it in the tool; the mail never says what."),
        Text("Read the message"),
    ),
    "checkin_due": Kind(
        "checkins",
        Text("A short check-in is due"),
        Text("How is it going? Your answers are never shown to your partner."),
        Text("Answer the check-in"),
    ),
    "support_offered": Kind(
        SERVICE,
        Text("Something waits for you"),
        Text("Something that is meant for you alone waits in the tool."),
        OPEN,
    ),
    "help_news": Kind(
        SERVICE,
        Text("Something new waits for you alone"),
        Text("Something that is meant for you alone waits in the tool."),
        OPEN,
    ),
    "help_asked": Kind(
        SERVICE,
        Text("Somebody needs you as a contact"),
        Text("You are a confidential contact of a programme. Something waits for you alone."),
        OPEN,
    ),
    "contact_named": Kind(
        SERVICE,
        Text("You are a confidential contact"),
        Text("A programme names you as a contact to whom people can turn privately."),
        OPEN,
    ),
    "credit_changed": Kind(
        "news",
        Text("Your learning credit has changed"),
        Text("The programme's team has changed something about your credit. The reason stands with it."),
        Text("See your credits"),
    ),
    "completion_unmet": Kind(
        "news",
        Text("A completion was taken back"),
        Text("Somebody has no longer completed a programme that you manage, because credit was taken back."),
        Text("See what happened"),
    ),
    "programme_completed": Kind(
        "news",
        Text("You have completed the programme"),
        Text("You have met every criterion. Thank you for the time that you gave each other."),
        Text("See your credits"),
    ),
    "paper_revoked": Kind(
        SERVICE,
        Text("A certificate of yours was revoked"),
        Text("A certificate of yours is not valid any more. You find the reason in the tool."),
        Text("See the reason"),
    ),
    "review_opened": Kind(
        "news",
        Text("Your programme needs you"),
        Text("Something in a programme that you manage needs a look."),
        Text("Open the programme desk"),
    ),
    "news": Kind(
        "news",
        Text("News of your programme"),
        Text("The programme's team tells everybody something new."),
        Text("Read the news"),
    ),
}
# Kinds that nobody gave words of their own are told in these, in the group that the first word names.
OTHER = Kind(
    "news", Text("Something new waits for you"), Text("Something new waits for you in the tool."), OPEN
)
FIRST_WORDS = {
    "proposal": "proposals",
    "programme": "news",
    "invitation": "proposals",
    "enrolment": "proposals",
    "session": "sessions",
    "agreement": "sessions",
    "goal": "sessions",
    "action": "sessions",
    "intro": "sessions",
    "message": "messages",
    "checkin": "checkins",
    "pairing": SERVICE,
    "privacy": SERVICE,
    "person": SERVICE,
}


def find_kind(key: str) -> Kind:
    """Give the words of a kind of notice; one without words of its own gets general ones.

    **Touches** pure.
    """
    known = KINDS.get(key)
    return known or OTHER._replace(group=FIRST_WORDS.get(key.partition("_")[0], OTHER.group))

"""How sign-up will end if it goes on like this, why, and what would help: numbers in, codes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from rmplugin.texts import texts

# Why too few come, the first that holds.
CAUSES = texts(
    {
        "not_invited": "Many who could take part are not invited yet.",
        "not_opened": "Most of those who are invited have not opened the invitation.",
        "not_started": "Most of those who opened the invitation have not begun to answer.",
        "not_sent": "Many have begun to answer and not sent it.",
        "endorsement": "Many wait for their line manager's yes.",
        "time": "Time is the most frequent reason among those who say no.",
        "pace": "People come, but fewer each day than the target needs.",
    }
)
ACTIONS = texts(
    {
        "invite": "Invite more people",
        "remind": "Remind those who have not answered",
        "sponsor": "Send the sponsor's message",
        "taster": "Offer a taster session",
        "ease": "Ask for less time",
        "extend": "Extend the sign-up",
    }
)
HELPS = {
    "not_invited": ("invite", "extend"),
    "not_opened": ("remind", "sponsor", "extend"),
    "not_started": ("sponsor", "taster", "ease"),
    "not_sent": ("remind", "ease"),
    "endorsement": ("sponsor", "ease", "extend"),
    "time": ("ease", "taster", "sponsor"),
    "pace": ("extend", "taster", "sponsor"),
}
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Steps:
    """How far people of one role have come; each number holds those of the next ones.

    :ivar eligible: who may take part at all.
    :ivar invited: by the team or a colleague; whoever came by themselves is in the next ones only.
    :ivar opened, started, signed_up: and went so far.
    :ivar in_pool: and are in it now.
    :ivar endorsing, waitlisted: signed up, and wait.
    """

    eligible: int = 0
    invited: int = 0
    opened: int = 0
    started: int = 0
    signed_up: int = 0
    in_pool: int = 0
    endorsing: int = 0
    waitlisted: int = 0


@dataclass(frozen=True, slots=True)
class Outlook:
    """How sign-up of a role stands against its target.

    :ivar signed_up: who has signed up and not left.
    :ivar forecast: so many at the end if it goes on like this; None in the first tenth of the time.
    :ivar is_late: half of the time is over, and the forecast is below the target.
    :ivar cause: key of `CAUSES`; None unless late.
    """

    target: int
    signed_up: int
    forecast: int | None
    is_late: bool
    cause: str | None

    @property
    def actions(self) -> tuple[str, ...]:
        """Give keys of `ACTIONS` that help against the cause, the first ones most."""
        return HELPS[self.cause] if self.cause else ()


def elapsed_share(opened_at: datetime, last_day: date, now: datetime) -> float:
    """Tell which part of the sign-up time is over, 0..1. **Touches** pure."""
    begin = opened_at
    end = datetime.combine(last_day + timedelta(days=1), datetime.min.time(), opened_at.tzinfo)
    if end <= begin:
        return 1.0
    return min(1.0, max(0.0, (now - begin) / (end - begin)))


def forecast(signed_up: int, share: float) -> int | None:
    """Say how many sign up in the end at the pace so far; None while it is too early to tell.

    **Touches** pure.
    """
    return round(signed_up / share) if share >= 0.1 else None


def look_ahead(target: int, steps: Steps, share: float, *, time_leads: bool) -> Outlook:
    """Compare sign-up of a role with its target.

    :param share: which part of the sign-up time is over.
    :param time_leads: time is the most frequent reason of this role that may be shown.
    **Touches** pure.
    """
    stand = steps.in_pool + steps.endorsing + steps.waitlisted
    ahead = forecast(stand, share)
    is_late = share >= HALF and ahead is not None and ahead < target
    cause = find_cause(target, steps, time_leads=time_leads) if is_late else None
    return Outlook(target, stand, ahead, is_late, cause)


def find_cause(target: int, steps: Steps, *, time_leads: bool) -> str:
    """Find where most people are lost: key of `CAUSES`.

    **Touches** pure.
    """
    holds = {
        "not_invited": steps.invited < 2 * target and steps.invited < steps.eligible,
        "not_opened": 2 * steps.opened < steps.invited,
        "endorsement": steps.endorsing > 0 and 3 * steps.endorsing >= steps.signed_up,
        "time": time_leads,
        "not_started": 2 * steps.started < steps.opened,
        "not_sent": 2 * steps.signed_up < steps.started,
        "pace": True,
    }
    return next(cause for cause, fits in holds.items() if fits)


def missing_people(sides: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Say how many more of each role a pool needs at least so that everybody can have a partner.

    Each person more brings one place. Who has a place too few is short of the other side; who can meet nobody
    by the rules needs somebody new on the other side, unless somebody else's coming helps them as well.

    :param sides: "mentors" and "mentees" as `matching.health.count_sides` gives them.
    :return: "mentor" and "mentee" -> people; 0 for enough.
    **Touches** pure.
    """
    mentors, mentees = sides["mentors"], sides["mentees"]
    short = {
        "mentor": (mentees["people"] - mentors["places"], mentees["people"] - mentees["with_one"]),
        "mentee": (mentors["people"] - mentees["places"], mentors["people"] - mentors["with_one"]),
    }
    return {role: max(0, *(numbers)) for role, numbers in short.items()}

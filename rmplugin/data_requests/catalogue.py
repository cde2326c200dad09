"""Every table that holds something about a person: whose rows they are, what they are for, how they go.

A test fails while a table that points to a person is missing here, so nothing can be forgotten in an export.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rmplugin.agreements.models import Agreement, AgreementDraft
from rmplugin.aims.models import AimRating, LeadershipAim
from rmplugin.audit import AccessEntry
from rmplugin.calendars.models import CalendarFeed
from rmplugin.checkins.models import Checkin, CheckinAsk
from rmplugin.credits.models import Completion, CreditEntry, CreditReason, Delivery, GradeDifference
from rmplugin.freebusy.models import BusyCalendar
from rmplugin.goals.models import Goal, GoalProgress, GoalVersion
from rmplugin.introductions.models import IntroAnswer
from rmplugin.leaving.models import Thanks
from rmplugin.logins import WebSession
from rmplugin.mailing.models import BlockedAddress, Mail, MailChoice
from rmplugin.matching.models import Closure, LeftOut, MatchWish, Pairing, Proposal
from rmplugin.messages.models import Message, ThreadRead
from rmplugin.notes.models import ActionItem, Note
from rmplugin.notify import Notice
from rmplugin.papers.models import Paper
from rmplugin.people.models import Consent, CourseMember, LtiUser, Person, PersonSkill, Profile, SideLine
from rmplugin.preparation.models import PreparationStep, SupervisionSeat
from rmplugin.programmes.models import Endorsement, Enrolment
from rmplugin.safeguards.models import ContactPerson, SafeguardCase
from rmplugin.sessions.models import MentoringSession, SessionChange, SessionClaim, TimeNeed
from rmplugin.signup.models import ReadinessTaken
from rmplugin.texts import Text

Erase = Literal["delete", "words", "keep"]
BOTH = ("mentor_id", "mentee_id")

AGREED_WORDS = {"place": "", "hopes": "", "boundaries": "", "confidentiality": "", "feedback": ""}


@dataclass(frozen=True)
class Holding:
    """One table.

    :ivar model: its class.
    :ivar purpose: what it is for, for the person whose data it is.
    :ivar who: columns with a person's id; a row in which one of them is the person's is theirs.
    :ivar through: (column, holding's model): rows belong to whom the row behind that column belongs to.
    :ivar hidden: columns that an export leaves out: what others said, digests, keys.
    :ivar erase: delete the rows, blank their words, or keep them as they are (they hold ids alone, and others
        or the ledger need them).
    :ivar also: further columns with a person's id: such rows go with the person, too, and are not shown to
        them, because somebody else wrote them.
    :ivar words: column -> what it holds once its words are removed.
    :ivar author: column that names who wrote the words; None where all of the row is the person's.
    :ivar fades: the words go, too, when the time for which a programme keeps them is over.
    """

    model: Any
    purpose: str
    who: tuple[str, ...] = ("person_id",)
    through: tuple[str, Any] | None = None
    hidden: tuple[str, ...] = ()
    erase: Erase = "keep"
    also: tuple[str, ...] = ()
    words: Mapping[str, Any] = field(default_factory=dict)
    author: str | None = None
    fades: bool = False


HOLDINGS = (
    Holding(Person, Text("What your HR system says about you"), ("id",), hidden=("row_hash", "source_key")),
    Holding(Consent, Text("What you agreed to"), erase="keep"),
    Holding(Profile, Text("Your profile: languages and working hours"), erase="delete"),
    Holding(PersonSkill, Text("What you offer and want to learn"), erase="delete"),
    Holding(
        LtiUser,
        Text("Your account in the learning platform"),
        erase="delete",
        also=("claimed_person_id",),
        hidden=("claimed_person_id",),
    ),
    Holding(
        CourseMember,
        Text("Courses in which you open this tool"),
        through=("lti_user_id", LtiUser),
        hidden=("launch_sha256",),
    ),
    Holding(
        WebSession, Text("When you were signed in"), hidden=("token_sha256", "entry_sha256"), erase="delete"
    ),
    Holding(Notice, Text("Notices to you"), erase="delete"),
    Holding(
        Mail, Text("Mails to you: their kind and what became of them"), hidden=("address",), erase="delete"
    ),
    Holding(MailChoice, Text("How you want to be told"), erase="delete"),
    Holding(BlockedAddress, Text("That your mail server refused mail"), erase="delete"),
    Holding(CalendarFeed, Text("Your calendar address"), hidden=("token_sha256",), erase="delete"),
    Holding(
        SideLine,
        Text("Lines of authority beside your reporting line"),
        ("person_id", "other_id"),
        hidden=("person_id", "other_id"),
        erase="delete",
    ),
    Holding(
        Enrolment,
        Text("Programmes that you take part in"),
        hidden=("nominated_by",),
        erase="words",
        words={"motivation": None},
        fades=True,
    ),
    Holding(PreparationStep, Text("What you did to prepare"), erase="delete"),
    Holding(SupervisionSeat, Text("Supervision groups that you joined"), erase="delete"),
    Holding(
        Endorsement,
        Text("Whether your line manager agreed to the weekly time"),
        (),
        through=("enrolment_id", Enrolment),
        hidden=("manager_id", "token"),
        erase="delete",
    ),
    Holding(
        ReadinessTaken,
        Text("That you answered a survey before a launch; your answers are not kept"),
        (),
        through=("lti_user_id", LtiUser),
        erase="delete",
    ),
    Holding(MatchWish, Text("Whom you would like to meet, or not"), erase="delete", also=("other_id",)),
    Holding(LeftOut, Text("Why a matching left you without a partner"), erase="delete", hidden=("told",)),
    Holding(
        Proposal,
        Text("Proposals of a partner"),
        BOTH,
        hidden=("decline_reason",),
        erase="words",
        words={"reasons": {}, "contributions": {}},
    ),
    Holding(Pairing, Text("Your pairs"), BOTH, hidden=("interruption",)),
    Holding(Closure, Text("Why you ended a pair"), ("initiator_id",), erase="words", words={"reasons": []}),
    Holding(
        Thanks,
        Text("Thanks between you and your partners"),
        ("giver_id", "receiver_id"),
        erase="words",
        words={"text": ""},
        author="giver_id",
        fades=True,
    ),
    Holding(
        Agreement,
        Text("Agreements of your pairs"),
        (),
        through=("pairing_id", Pairing),
        erase="words",
        words=AGREED_WORDS,
        author="written_by",
        fades=True,
    ),
    Holding(
        AgreementDraft,
        Text("What you expected of your pairs at first"),
        erase="words",
        words=AGREED_WORDS,
        fades=True,
    ),
    Holding(IntroAnswer, Text("Whether you wanted to go on after a first call"), erase="delete"),
    Holding(CheckinAsk, Text("When you were asked to check in"), erase="delete"),
    Holding(Checkin, Text("Your check-ins"), erase="delete", words={"words_locked": None}, fades=True),
    Holding(Goal, Text("Your goals"), ("owner_id",)),
    Holding(
        GoalVersion,
        Text("The words of your goals"),
        (),
        through=("goal_id", Goal),
        erase="words",
        words=dict.fromkeys(
            (
                "title",
                "baseline",
                "level_minus_2",
                "level_minus_1",
                "level_0",
                "level_plus_1",
                "level_plus_2",
            ),
            "",
        ),
        fades=True,
    ),
    Holding(
        GoalProgress,
        Text("How your goals went"),
        (),
        through=("goal_id", Goal),
        erase="words",
        words={"note": ""},
        fades=True,
    ),
    Holding(
        MentoringSession,
        Text("Sessions of your pairs"),
        (),
        through=("pairing_id", Pairing),
        erase="words",
        words={"agenda": "", "place": "", "topic": None, "attest_reason": None},
        author="planned_by",
        fades=True,
    ),
    Holding(
        LeadershipAim,
        Text("What you want to grow in as a mentor"),
        erase="delete",
        words={"words": ""},
        fades=True,
    ),
    Holding(
        AimRating,
        Text("How far you were with it"),
        (),
        through=("aim_id", LeadershipAim),
        words={"note": ""},
        fades=True,
    ),
    Holding(
        SafeguardCase,
        Text("What you asked a confidential contact"),
        ("reporter_id",),
        erase="delete",
    ),
    Holding(ContactPerson, Text("Programmes whose confidential contact you are"), erase="delete"),
    Holding(
        SessionChange,
        Text("Sessions that you moved or cancelled"),
        erase="words",
        words={"reason": None},
        fades=True,
    ),
    Holding(
        Note,
        Text("Your notes and takeaways"),
        ("author_id",),
        erase="delete",
        words={"body_locked": None},
        fades=True,
    ),
    Holding(
        ActionItem,
        Text("What you took on"),
        ("owner_id",),
        erase="delete",
        words={"text_locked": None, "outcome_locked": None, "drop_reason": None},
        fades=True,
    ),
    Holding(
        Message,
        Text("Messages that you wrote"),
        ("author_id",),
        erase="words",
        words={"body_locked": None},
        fades=True,
    ),
    Holding(ThreadRead, Text("Up to when you have read your messages"), erase="delete"),
    Holding(
        TimeNeed,
        Text("When you had no time, and what you chose"),
        erase="words",
        words={"reason": None},
        fades=True,
    ),
    Holding(BusyCalendar, Text("Your calendar, and when it says that you are busy"), erase="delete"),
    Holding(SessionClaim, Text("How long you said that sessions were")),
    Holding(CreditEntry, Text("Your learning credits"), hidden=("evidence_sha256",)),
    Holding(
        CreditReason,
        Text("Why credit of yours was taken back or adjusted"),
        (),
        through=("entry_id", CreditEntry),
        erase="delete",
    ),
    Holding(Completion, Text("How far you have come in a programme")),
    Holding(
        Paper,
        Text("Your certificates and badges"),
        erase="words",
        words={"says": {}, "shows": [], "reason": None, "state": "erased"},
    ),
    Holding(
        Delivery,
        Text("What was sent to your course record"),
        hidden=("idempotency_key", "lease_until"),
        erase="words",
        words={"payload": {}, "last_error": None},
    ),
    Holding(
        GradeDifference,
        Text("Where the gradebook of your course differs from your course record"),
        erase="delete",
    ),
    Holding(AccessEntry, Text("Who of the programme team opened something about you"), hidden=("actor",)),
)

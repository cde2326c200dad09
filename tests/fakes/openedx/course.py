"""The course behind the platform: its people, its one LTI block and its gradebook, kept in memory."""

import threading
import uuid
from dataclasses import asdict, dataclass, field

FIRST_NAMES = ("Amara", "Bruno", "Chiara", "Daan", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas")
LAST_NAMES = ("Okafor", "Silva", "Rossi", "Vries", "Yilmaz", "Karimi")
COURSE_KEY = "course-v1:Fabrikam+Mentoring+2026"
BLOCK_LOCATION = "block-v1:Fabrikam+Mentoring+2026+type@lti_consumer+block@reverse-mentoring"
COURSE_TITLE = "Reverse mentoring"
COURSE_ORGANISATION = "Fabrikam"
BLOCK_WEIGHT = 100
NAMESPACE = uuid.UUID("6d9f6ed2-52a4-4f0e-8d63-0c8f6c6c52a5")


@dataclass
class Person:
    """Somebody enrolled in the course; the external id is what a tool sees as `sub` and `user_id`."""

    id: int
    username: str
    name: str
    email: str
    role: str
    employee_number: str
    external_id: str = ""

    def __post_init__(self):
        self.external_id = self.external_id or str(uuid.uuid5(NAMESPACE, self.username))


@dataclass
class Grade:
    """A score that passed every check of the platform and reached the gradebook."""

    username: str
    external_id: str
    score: float
    maximum: float
    comment: str | None


@dataclass
class Course:
    """Everything that the control endpoint can read and change."""

    people: list[Person] = field(default_factory=lambda: default_people())  # noqa: PLW0108 - defined below.
    grades: list[Grade] = field(default_factory=list)
    requests: list[dict] = field(default_factory=list)
    custom: dict[str, str] = field(default_factory=lambda: {"employee_number": "${employee_number}"})
    share_in_launch: bool = True
    past_due: bool = False
    roster_page_size: int = 25
    outage: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def person(self, **wanted):
        """Return the first person whose attributes have the values wanted, else None."""
        with self.lock:
            for person in self.people:
                if all(getattr(person, name) == value for name, value in wanted.items()):
                    return person
        return None

    def state(self):
        """Return what the control endpoint shows, as JSON values."""
        with self.lock:
            return {
                "people": [asdict(person) for person in self.people],
                "grades": [asdict(grade) for grade in self.grades],
                "requests": list(self.requests),
                "custom": dict(self.custom),
                "share_in_launch": self.share_in_launch,
                "past_due": self.past_due,
                "roster_page_size": self.roster_page_size,
                "outage": self.outage,
            }

    def reset(self):
        """Go back to the beginning."""
        with self.lock:
            vars(self).update({name: value for name, value in vars(Course()).items() if name != "lock"})


def default_people():
    """Return sixty people: an instructor, a course assistant and fifty-eight learners."""
    people = []
    for number in range(60):
        first, last = FIRST_NAMES[number % 10], LAST_NAMES[number // 10]
        username = f"{first}.{last}".lower()
        people.append(
            Person(
                id=number + 1,
                username=username,
                name=f"{first} {last}",
                email=f"{username}@fabrikam.example",
                role={0: "instructor", 1: "staff"}.get(number, "student"),
                employee_number=f"E{1001 + number}",
            ),
        )
    return people


COURSE = Course()


class Block:
    """The part of the LTI block that the consumer reads; bound to one person when somebody launches it."""

    display_name = COURSE_TITLE
    weight = BLOCK_WEIGHT
    has_score = True
    accept_grades_past_due = False
    lti_1p3_passport_id = None
    context_id = COURSE_KEY

    def __init__(self, location, person=None):
        self.location = location
        self.person = person
        self.scope_ids = type("ScopeIds", (), {"usage_id": location, "user_id": person and person.id})()

    def is_past_due(self):
        return COURSE.past_due

    def max_score(self):
        return self.weight

    def set_user_module_score(self, user, score, max_score, comment=""):
        """Write a score between 0 and 1 to the gradebook, scaled to the weight of the block."""
        grade = Grade(user.username, user.external_id, score * max_score, max_score, comment)
        with COURSE.lock:
            COURSE.grades = [kept for kept in COURSE.grades if kept.username != user.username]
            COURSE.grades.append(grade)


def employee_number_of(block):
    """Resolve `${employee_number}` in a custom parameter."""
    return block.person.employee_number


def username_of(block):
    """Resolve `${username}` in a custom parameter."""
    return block.person.username

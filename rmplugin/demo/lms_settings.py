"""What a practice LMS is made of: people, courses, activities, and where the tool is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

CourseRole = Literal["instructor", "learner"]
HrId = Literal["both", "custom", "lis", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LmsPerson:
    """Somebody with an account in the practice LMS, enrolled in every course of it.

    :param user_id: the LMS's own id, a number as text, like Moodle's; it is the `sub` of a launch.
    :param email: None when the LMS knows none.
    :param employee_number: None for people who are in the LMS but not in the HR system.
    :param group: heading under which the front page lists the person.
    :param about: one line below the name, such as "Director, Sales, London".
    :param active: False for a suspended account: it cannot launch and is missing in the roster.
    """

    user_id: str
    given_name: str
    family_name: str
    email: str | None = None
    employee_number: str | None = None
    role: CourseRole = "learner"
    group: str = "Learners"
    about: str = ""
    locale: str = "en"
    active: bool = True

    @property
    def name(self) -> str:
        """Full name, given name first."""
        return f"{self.given_name} {self.family_name}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class LmsActivity:
    """A link to the tool that the course has from the start.

    :param score_maximum: maximum of the link's own grade column; None for a link without a grade.
    :param pass_mark: grade from which the activity counts as completed; None when any grade completes it.
    :param custom: custom parameters; values that start with "$" are substituted.
    """

    title: str
    description: str = ""
    score_maximum: float | None = 100.0
    pass_mark: float | None = None
    custom: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LmsCourse:
    """A course; everybody in the LMS is enrolled.

    :param storage_frame: the frame in which its pages offer the tool platform storage: "_parent" for the page
        itself, as Sakai, or the name of a frame beside the tool's, as Canvas; None for none, as Moodle.
    :param deployment_id: deployment of the tool that the course uses; None for that of the LMS.
    """

    course_id: str
    label: str
    title: str
    deployment_id: str | None = None
    activities: tuple[LmsActivity, ...] = ()
    storage_frame: str | None = None


DEFAULT_COURSE = LmsCourse(
    course_id="101",
    label="LEAD-26",
    title="Leading and learning",
    activities=(
        LmsActivity(
            title="Reverse mentoring",
            description="Senior leaders learn from junior colleagues. Opens the mentoring tool.",
            score_maximum=100.0,
            pass_mark=100.0,
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LmsSettings:
    """One practice LMS and the one tool registered in it.

    :param issuer: base URL of the LMS without a trailing slash; every URL it gives out starts with it.
    :param tool_url: base URL of the tool without a trailing slash.
    :param data_dir: folder for the SQLite file, the signing key and the session secret; made when absent.
    :param hr_id: where the employee number is sent: custom parameter, `lis.person_sourcedid`, both, nowhere.
    :param share_names: whether names and e-mail addresses are sent in launches and in the roster.
    :param redirect_uris: where an id_token may be sent, byte for byte; None for `<tool_url>/lti/launch`.
    :param page_size: members or results on one page, and the most that `limit` can ask for.
    :param launch_method: how the browser is sent to the tool's login address.
    :param deep_linking_data: value of the `data` claim of content selection requests; None sends none.
    :param clock: gives Unix seconds; tests pass their own.
    """

    issuer: str
    tool_url: str
    data_dir: Path
    people: tuple[LmsPerson, ...]
    client_id: str = "practice-tool-1"
    deployment_id: str = "1"
    courses: tuple[LmsCourse, ...] = (DEFAULT_COURSE,)
    site_name: str = "Practice LMS"
    hr_id: HrId = "both"
    hr_parameter: str = "emp"
    share_names: bool = True
    login_url: str | None = None
    target_link_uri: str | None = None
    deep_link_uri: str | None = None
    redirect_uris: tuple[str, ...] | None = None
    tool_jwks_url: str | None = None
    page_size: int = 50
    token_seconds: int = 3600
    launch_method: Literal["post", "get"] = "post"
    deep_linking_data: str | None = None
    clock: Callable[[], float] = time.time

    def deployment_of(self, course: LmsCourse) -> str:
        """Which deployment of the tool a course uses."""
        return course.deployment_id or self.deployment_id

    @property
    def tool_login_url(self) -> str:
        """Where a launch begins at the tool."""
        return self.login_url or f"{self.tool_url}/lti/login"

    @property
    def tool_target(self) -> str:
        """`target_link_uri` of an ordinary activity."""
        return self.target_link_uri or f"{self.tool_url}/lti/launch"

    @property
    def tool_deep_link_target(self) -> str:
        """`target_link_uri` of a content selection request."""
        return self.deep_link_uri or f"{self.tool_url}/lti/launch"

    @property
    def tool_redirect_uris(self) -> tuple[str, ...]:
        """Every address that an id_token may be sent to."""
        return self.redirect_uris or (f"{self.tool_url}/lti/launch",)

    @property
    def tool_jwks(self) -> str:
        """Where the tool publishes its keys."""
        return self.tool_jwks_url or f"{self.tool_url}/lti/jwks"

    @property
    def tool_origin(self) -> str:
        """Scheme, host and port of the tool, for the Content-Security-Policy."""
        parts = urlsplit(self.tool_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def token_url(self) -> str:
        """Token endpoint, which is also the audience of a client assertion."""
        return f"{self.issuer}/token"


@dataclass(frozen=True, slots=True)
class PlatformValues:
    """What a tool must know about a platform to register it by hand."""

    issuer: str
    client_id: str
    auth_url: str
    token_url: str
    jwks_url: str
    deployment_id: str


def platform_values(settings: LmsSettings) -> PlatformValues:
    """Say what `rmplugin platform add` needs to know about this LMS.

    :return: issuer, client id, the three endpoint URLs and the deployment id.

    **Touches**: pure.
    """
    return PlatformValues(
        issuer=settings.issuer,
        client_id=settings.client_id,
        auth_url=f"{settings.issuer}/auth",
        token_url=settings.token_url,
        jwks_url=f"{settings.issuer}/certs",
        deployment_id=settings.deployment_id,
    )

"""Records that cross the boundary between the core and plug-ins: plain, frozen, without behaviour."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

import marshmallow as ma

# Where a launch or a course's roster may say which person of the HR roster somebody is: a custom parameter,
# `lis.person_sourcedid`, Brightspace's org_defined_id, the user name, an e-mail address. Never the name.
IDENTITY_SOURCES = ("custom", "sourcedid", "org_defined_id", "username", "email")

EmploymentType = Literal["employee", "contractor", "intern", "temp", "other"]
EmploymentStatus = Literal["prehire", "active", "leave", "suspended", "terminated", "deceased", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Employment:
    """One of several employments of a person: a second job, an assignment abroad, an earlier contract.

    The core picks the one that counts: at work before not, then the latest start, then the source's primary
    one, then the larger share of a full job.

    :param key: the source's id of it.
    :param is_primary: the source itself calls it the main one.
    :param share: of a full job, 0..1; None when the source does not say.
    """

    key: str
    status: EmploymentStatus = "active"
    status_raw: str | None = None
    is_primary: bool = False
    share: float | None = None
    employment_type: EmploymentType | None = None
    job_title: str | None = None
    grade: str | None = None
    department: str | None = None
    division: str | None = None
    cost_center: str | None = None
    legal_entity: str | None = None
    location: str | None = None
    manager_key: str | None = None
    hire_date: date | None = None
    termination_date: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmployeeRecord:
    """One person as one HR system knows them. None always means "the source says there is none".

    No birth date, salary, bank, health or family field exists, so none can leave a connector.

    :param source_key: the source's own immutable id; unique within the account.
    :param ref: where the record stands in the source ("row 17"), for messages.
    :param email: primary work address.
    :param grade, level: the source's own words; the core maps grade, level or title to a rank.
    :param seniority_rank: 0 (most junior) .. 100, when the source itself gives a comparable number.
    :param manager_key: the manager's `source_key`, resolved by the core in a second pass.
    :param manager_email, manager_name: other ways to name the manager ("Last, First" is understood).
    :param hire_date, termination_date: dates without a zone.
    :param time_zone: IANA name, or Windows' name of one.
    :param languages: ISO 639-1 codes.
    :param skills: names of skills, as far as the source has them.
    :param employments: all of them, when the source has several; the one that counts overrules the fields of
        the same name here. Empty when the fields here say everything.
    :param withheld: names of fields that the source hides from us (a permission, a part of a record), so that
        what is known of them stays as it is.
    :param effective_from: the record holds from this day on; None for now. A later one waits for its day.
    """

    source_key: str
    ref: str
    employee_number: str | None = None
    user_name: str | None = None
    email: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    preferred_name: str | None = None
    display_name: str | None = None
    job_title: str | None = None
    grade: str | None = None
    level: str | None = None
    seniority_rank: int | None = None
    department: str | None = None
    division: str | None = None
    cost_center: str | None = None
    legal_entity: str | None = None
    location: str | None = None
    city: str | None = None
    country: str | None = None
    time_zone: str | None = None
    manager_key: str | None = None
    manager_email: str | None = None
    manager_name: str | None = None
    employment_type: EmploymentType | None = None
    status: EmploymentStatus = "active"
    status_raw: str | None = None
    hire_date: date | None = None
    termination_date: date | None = None
    languages: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    employments: tuple[Employment, ...] = ()
    withheld: frozenset[str] = frozenset()
    effective_from: date | None = None


@dataclass(frozen=True, slots=True)
class SkippedRecord:
    """A record of the source that could not be used.

    :param ref: where it stands ("row 17").
    :param field: canonical field name, or "row".
    :param reason: what is wrong, in plain words, without the value.
    :param source_key: whose record it is, so that nobody is taken for a leaver because of a bad row; None
        when it cannot be read.
    """

    ref: str
    field: str
    reason: str
    source_key: str | None = None


@dataclass(frozen=True, slots=True)
class RosterPage:
    """What a connector yields: some records, some skipped ones.

    :param cursor: where the next run may begin once this one is stored whole; the last page's counts. None
        when the source has no such thing. When a source that is not incremental gives the one of the last run
        again, it has nothing new, and whoever is missing is not missing a second time.
    :param gone: keys of people whom the source says it has deleted. Absence needs no entry here.
    :param total: how many people the source says it has; a full reading that gives fewer is not taken for
        complete. None when it does not say. The last page that says one counts.
    :param fields: canonical fields that this reading can give at all; fewer than last time hold the run. None
        when the connector cannot tell.
    """

    records: list[EmployeeRecord]
    skipped: list[SkippedRecord] = field(default_factory=list)
    cursor: str | None = None
    gone: list[str] = field(default_factory=list)
    total: int | None = None
    fields: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of a connection check.

    :param what: what was checked, in an administrator's words.
    :param ok: whether it works.
    :param advice: what was found and, when it does not work, what to do.
    """

    what: str
    ok: bool
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a connector's source can do.

    :param full_is_complete: a full reading gives everybody, so that absence can mean departure.
    :param incremental: a reading from a cursor gives only what changed.
    :param deletes: readings from a cursor name deleted people in `RosterPage.gone`.
    :param effective_dated: records may carry `effective_from`.
    :param webhooks: the connector is a `WebhookReader`, too.
    """

    full_is_complete: bool = True
    incremental: bool = False
    deletes: bool = False
    effective_dated: bool = False
    webhooks: bool = False


@runtime_checkable
class HrisConnector(Protocol):
    """An HR system that the roster can be read from. One short file per system.

    :ivar key: name used in commands and in the database.
    :ivar title: name for people.
    :ivar settings_schema: marshmallow schema of the account's settings; fields with
        ``metadata={"secret": True}`` are stored encrypted, ``{"help": …}`` explains one to people,
        ``{"lines": True}`` is a text of several lines, such as a private key.
    :ivar capabilities: what the source can do.
    """

    key: str
    title: str
    settings_schema: type[ma.Schema]
    capabilities: Capabilities

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Try the connection without changing anything, and say which fields can be read.

        :param settings: loaded by `settings_schema`, secrets included.
        """
        ...

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read the roster page by page.

        :param cursor: where the last run ended; None for a full reading.
        :raises RetriableError: try again later.
        :raises FatalError: an administrator must change something.
        :raises CursorExpiredError: the cursor is not known any more; the core reads everything instead.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookNotice:
    """What a notice of an HR system comes to.

    :param notice_id: the source's id of it, else a digest; the same one again is ignored.
    :param source_keys: people who changed; they are fetched, so that order and content of notices do not
        matter.
    :param everybody: the notice names nobody: an incremental run is due.
    """

    notice_id: str
    source_keys: tuple[str, ...] = ()
    everybody: bool = False


@runtime_checkable
class WebhookReader(Protocol):
    """A connector whose source tells when somebody changed."""

    def read_notice(
        self, settings: Mapping[str, Any], headers: Mapping[str, str], body: bytes, now: datetime
    ) -> WebhookNotice:
        """Check a notice's signature and age, and say whom it is about.

        :param headers: of the request; names in any case.
        :param now: aware UTC.
        :raises NotAllowedError: it is not from the source.
        :raises InputError: it is, but makes no sense.
        """
        ...

    def fetch(self, settings: Mapping[str, Any], source_keys: Sequence[str]) -> Iterator[RosterPage]:
        """Read these people; whoever the source does not know any more is `gone`.

        :raises RetriableError, FatalError: as `HrisConnector.read`.
        """
        ...


# What a criterion can ask about each person of a pair; `None` where the company did not say.
MATCH_COLUMNS = (
    "id",
    "rank",
    "hired_on",
    "manager_id",
    "department",
    "site",
    "languages",
    "motivation",
    "offers",
    "wants",
)
MatchColumns = Mapping[str, Any]


class MatchCriterion(Protocol):
    """Something a company wants the matching to respect: points for some pairs, or pairs taken out.

    Both methods are asked about very many pairs at once, in any thread and more than once about the same
    pair, and must give the same answer whatever the order. A column is `mentor["department"]`: a numpy array
    of objects with one value per pair, cut out when it is asked for; the names are in `MATCH_COLUMNS`.

    :ivar key: name used for the factor in results.
    :ivar title: the factor in words ("Both work in a plant").
    :ivar most: the highest number of points that it gives, the proof counts on it; 0 when it only takes out.
    """

    key: str
    title: str
    most: int

    def points(self, mentor: MatchColumns, mentee: MatchColumns) -> Any:
        """Give a numpy array of whole numbers from 0 to `most`, one per pair."""
        ...

    def allows(self, mentor: MatchColumns, mentee: MatchColumns) -> Any:
        """Give a numpy array of bool, False for a pair to take out; None when all may stay."""
        ...


# What to do next when a platform refuses a score:
# compare: read the result back; the score may have arrived, be too old, or belong to nobody who gets grades.
# enrol: the person gets no grades in this course until they are enrolled as a learner.
# permit: an administrator of the platform has to let the tool write.
# look: the column or the person may be gone; see whether the column is there.
# persist: try again; when it goes on, the platform does not know the person, and somebody has to look.
NextStep = Literal["compare", "enrol", "permit", "look", "persist"]

# Where an administrator of the platform changes what a check finds wrong:
# address: the tool's own addresses. client: client id and whether the tool is active.
# tool_keys: where the platform reads the tool's keys, and what keeps it from reading them.
# platform_keys, token: the addresses that the platform prints. roster: Names and Role Provisioning.
# grades: Assignment and Grade Services. column: an activity's own gradebook column. frame: how it is shown.
SettingTopic = Literal[
    "address", "client", "tool_keys", "platform_keys", "token", "roster", "grades", "column", "frame"
]


@runtime_checkable
class PlatformQuirks(Protocol):
    """How one family of learning platforms differs from the standard. One short file per family.

    A class that derives from this one says only what differs; the defaults are what the standard asks for.

    :ivar key: name of the family in commands and in the database.
    :ivar title: name for people.
    :ivar product_codes: words by which it is recognised: `product_family_code` of its launches and of its
        OpenID configuration. Case, spaces and punctuation do not matter; `key` need not be repeated.
    :ivar column_by_teacher: only the column that a teacher switches on with the link counts for the course,
        so the tool makes none.
    :ivar no_test_column: why a check must not make a column, write into it and delete it again; "" lets it.
    :ivar results_by_user: results may be asked for one person; False reads all of them.
    :ivar score_members: members to add to each score of a running total.
    :ivar refusals: HTTP status of a refused score -> what to do next, where it differs from the sink's own
        reading.
    :ivar settings: topic -> sentence that names the setting to change; topics that are left out are answered
        in general words.
    :ivar activity_url: address at which people open an activity, with the blanks {issuer}, {context_id},
        {resource_link_id}, {course_url} (the course's page, where the LMS' way back names it) and
        {launch_url} (of this tool, quoted); "" where it cannot be made of these.
    """

    key: str
    title: str
    product_codes: tuple[str, ...] = ()
    column_by_teacher: bool = False
    no_test_column: str = ""
    results_by_user: bool = True
    score_members: Mapping[str, Any] = MappingProxyType({})
    refusals: Mapping[int, NextStep] = MappingProxyType({})
    settings: Mapping[SettingTopic, str] = MappingProxyType({})
    activity_url: str = ""


@dataclass(frozen=True, slots=True)
class NavLink:
    """A link that a plug-in adds to the navigation.

    :param role: "participant" or "manager".
    """

    title: str
    path: str
    role: str

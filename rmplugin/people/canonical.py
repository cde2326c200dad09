"""One person's record as it is kept: cleaned, judged by the day, with the employment that counts. Pure."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any, get_args
from zoneinfo import ZoneInfo

from babel.core import get_global

from rmplugin.errors import SkippableRecordError
from rmplugin.records import EmployeeRecord, Employment, EmploymentStatus, EmploymentType

# Columns of `person` that come from the record, in the order in which they are staged and hashed.
STORED = (
    "source_key", "employee_number", "user_name", "email", "given_name", "family_name", "preferred_name",
    "display_name", "job_title", "grade", "level", "department", "division", "cost_center", "legal_entity",
    "location", "city", "country", "manager_key", "manager_email", "manager_name", "employment_type",
    "status_raw", "email_folded", "seniority_rank", "time_zone", "status", "hire_date", "termination_date",
    "languages", "skills", "employments", "changes_on",
)  # fmt: skip
AS_THEY_ARE = STORED[: STORED.index("email_folded")]
# Fields of a record that a person keeps under the same name.
KEPT = tuple(f.name for f in fields(EmployeeRecord) if f.name not in ("ref", "withheld", "effective_from"))
# Somebody else would be meant by half of these, so a bad one costs the record.
NAMES_SOMEBODY = frozenset(
    ("source_key", "employee_number", "user_name", "email", "manager_key", "manager_email")
)
LONGEST = 255
STATUSES = frozenset(get_args(EmploymentStatus))
TYPES = frozenset(get_args(EmploymentType))
# Statuses of people who are in the source and no longer work there.
LEFT = ("terminated", "deceased")
# What an employment knows only together with its status.
STANDING = ("status", "status_raw", "termination_date")
OF_THE_JOB = tuple(f.name for f in fields(Employment) if f.name not in ("key", "is_primary", "share"))
JOB_TEXTS = (
    "key", "status_raw", "job_title", "grade", "department", "division", "cost_center", "legal_entity",
    "location", "manager_key",
)  # fmt: skip
DATES = ("hire_date", "termination_date")
_texts = attrgetter(*AS_THEY_ARE)


def effective_status(record: EmployeeRecord | Employment, today: date) -> str:
    """Tell what a status means today: leaving dates end it, hire dates postpone and begin it.

    **Source** BambooHR and others list future hires as inactive. **Touches** pure.
    """
    hired, left = record.hire_date, record.termination_date
    if hired is not None and hired > today and record.status in ("active", "unknown", "terminated"):
        return "prehire" if left is None or left >= hired else record.status
    # A hire date after the leaving date is a return; the old leaving date says nothing any more.
    if left is not None and left < today and not (hired is not None and hired > left):
        return record.status if record.status == "deceased" else "terminated"
    if record.status == "prehire" and hired is not None and hired <= today:
        return "active"
    return record.status


def next_change(record: EmployeeRecord | Employment, today: date) -> date | None:
    """Give the next day on which a hire or leaving date makes a difference. **Touches** pure."""
    hired, left = record.hire_date, record.termination_date
    days = [hired] if hired is not None and hired > today else []
    if left is not None and left >= today and left < date.max:
        days.append(left + timedelta(days=1))
    return min(days, default=None)


@lru_cache(maxsize=4096)
def usable_time_zone(name: str | None) -> str | None:
    """Give an IANA name for an IANA or Windows one; None for offsets and abbreviations, which name no place.

    **Touches** reads the time zone database.
    """
    if not name:
        return None
    if name == "UTC":
        return name
    name = get_global("windows_zone_mapping").get(name, name)
    if "/" not in name:
        return None
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None
    return name


def local_day(time_zone: str | None, now: datetime) -> date:
    """Give the day that it is where somebody is.

    :param time_zone: as a source or a person has it; UTC's day when it names no place.
    **Touches** reads the time zone database.
    """
    name = usable_time_zone(time_zone)
    return now.astimezone(ZoneInfo(name) if name else UTC).date()


def shown_name(record: EmployeeRecord) -> str:
    """Give the name by which a person is shown when the source has none: given and family name, else a key.

    **Touches** pure.
    """
    names = (record.preferred_name or record.given_name, record.family_name)
    return " ".join(filter(None, names)) or record.user_name or record.employee_number or record.source_key


@lru_cache(maxsize=65536)
def fold_name(name: str | None) -> str | None:
    """Fold a name for comparing; "Last, First" becomes "first last". **Touches** pure."""
    if not name:
        return None
    last, comma, first = name.partition(",")
    return " ".join((f"{first} {last}" if comma else name).casefold().split())


def clean(record: EmployeeRecord) -> EmployeeRecord:
    """Make a record safe to keep, whatever a connector gave: composed, without control characters, short.

    Labels are mended. A key, number or address that would have to be mended names nobody for sure.

    :raises SkippableRecordError: a value that names somebody cannot be used.
    **Touches** pure.
    """
    texts = _texts(record)
    changes: dict[str, Any] = {}
    if not _is_clean(texts):
        for name, value in zip(AS_THEY_ARE, texts, strict=True):
            good = _clean_text(record.ref, name, value)
            if good != value:
                changes[name] = good
    if record.status not in STATUSES:
        changes["status"] = "unknown"
    if record.employment_type is not None and record.employment_type not in TYPES:
        changes["employment_type"] = "other"
    if record.skills:
        skills = (_clean_text(record.ref, "skills", skill) for skill in record.skills)
        changes["skills"] = tuple(dict.fromkeys(filter(None, skills)))
    if record.employments:
        changes["employments"] = tuple(_clean_job(record.ref, job) for job in record.employments)
    if not changes.get("source_key", record.source_key):
        raise SkippableRecordError(record.ref, "source_key", "There is no key.")
    return replace(record, **changes) if changes else record


def _is_clean(texts: Sequence[str | None]) -> bool:
    given = [text for text in texts if text]
    try:
        joined = "".join(given)
    except TypeError:
        return False
    return (
        joined.isprintable()
        and (joined.isascii() or unicodedata.is_normalized("NFC", joined))
        and len(max(given, key=len, default="")) <= LONGEST
    )


def _clean_text(ref: str, name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise SkippableRecordError(ref, name, "This is no text.")
    text = unicodedata.normalize("NFC", value)
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
    if name in NAMES_SOMEBODY:
        if plain != text:
            raise SkippableRecordError(ref, name, "There is a control character in it.")
        if len(plain) > LONGEST:
            raise SkippableRecordError(ref, name, f"It is longer than {LONGEST} characters.")
        return plain.strip() or None
    return " ".join(plain.split())[:LONGEST].rstrip() or None


def _clean_job(ref: str, job: Employment) -> Employment:
    good: dict[str, Any] = {name: _clean_text(ref, name, getattr(job, name)) for name in JOB_TEXTS}
    status = job.status if job.status in STATUSES else "unknown"
    return replace(job, **{**good, "key": good["key"] or "", "status": status})


def with_main_employment(record: EmployeeRecord, today: date) -> EmployeeRecord:
    """Let the employment that counts overrule the record.

    What an employment does not say of itself (a cost centre, a manager) is that of the record; its standing
    and its end belong together and always count. Withheld fields say nothing either way.

    **Source** `records.Employment`. **Touches** pure.
    """
    if not record.employments:
        return record

    def weight(job: Employment) -> tuple[bool, date, bool, float]:
        at_work = effective_status(job, today) not in (*LEFT, "prehire")
        return at_work, job.hire_date or date.min, job.is_primary, job.share or 0.0

    main = max(record.employments, key=weight)
    values = {name: getattr(main, name) for name in OF_THE_JOB if name not in record.withheld}
    return replace(record, **{name: v for name, v in values.items() if v is not None or name in STANDING})


def stored_values(record: EmployeeRecord, rank: int | None, today: date) -> tuple[Any, ...]:
    """Give what is stored of a record, in the order of `STORED`: texts, numbers and None only.

    :param rank: 0..100, None when nothing is known.
    :param today: where the person is.
    **Touches** pure.
    """
    jobs = record.employments
    record = with_main_employment(record, today) if jobs else record
    if not record.display_name:
        record = replace(record, display_name=shown_name(record))
    hired, left = record.hire_date, record.termination_date
    change = next_change(record, today) if hired or left else None
    if jobs:
        change = min(filter(None, (next_change(job, today) for job in jobs)), default=None)
    return (
        *_texts(record),
        record.email.casefold() if record.email else None,
        rank,
        usable_time_zone(record.time_zone),
        effective_status(record, today) if hired or left else record.status,
        hired.isoformat() if hired else None,
        left.isoformat() if left else None,
        " ".join(record.languages),
        "\n".join(record.skills),
        json.dumps([_document(job) for job in jobs]) if jobs else "",
        change.isoformat() if change else None,
    )


def digest(values: Sequence[Any]) -> str:
    """Give the digest by which an unchanged record is known. **Touches** pure."""
    return blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def as_document(record: EmployeeRecord) -> dict[str, Any]:
    """Give a record as a JSON-ready document. **Touches** pure."""
    return _document(record)


def as_record(document: Mapping[str, Any]) -> EmployeeRecord:
    """Give the record of a document that `as_document` made, or that holds a person's stored fields.

    **Touches** pure.
    """
    values = dict(document)
    values["employments"] = tuple(
        Employment(**{**job, **{name: _day(job.get(name)) for name in DATES}})
        for job in values.get("employments") or ()
    )
    for name in (*DATES, "effective_from"):
        values[name] = _day(values.get(name))
    for name in ("languages", "skills"):
        values[name] = tuple(values.get(name) or ())
    values["withheld"] = frozenset(values.get("withheld") or ())
    return EmployeeRecord(**values)


def _document(thing: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asdict(thing), default=plain))
    return found


def plain(value: Any) -> Any:
    """Give what JSON can hold for a day or a set. **Touches** pure."""
    return value.isoformat() if isinstance(value, date) else sorted(value)


def _day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None

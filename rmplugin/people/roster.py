"""Staging of one roster run: a private file on disk in which the new roster meets the known one.

Pages stream in, SQLite compares sets, rows to write stream out; memory stays flat however long the roster is.
"""

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

from babel.core import get_global

from rmplugin.db import new_id
from rmplugin.records import EmployeeRecord, RosterPage

MOST_LISTED = 10_000
DUPLICATE = "The same key stands in an earlier record; the first one is kept."

# Columns of `person` that come from the record, in the order in which they are staged and hashed.
STORED = (
    "source_key", "employee_number", "user_name", "email", "given_name", "family_name", "preferred_name",
    "display_name", "job_title", "grade", "department", "division", "cost_center", "location", "city",
    "country", "manager_key", "manager_email", "manager_name", "employment_type", "status_raw",
    "email_folded", "seniority_rank", "time_zone", "status", "hire_date", "termination_date", "languages",
)  # fmt: skip
AS_THEY_ARE = STORED[: STORED.index("email_folded")]
# An empty termination date is good news, and a rank depends on our own table.
WATCHED_FOR_BLANKS = (*AS_THEY_ARE[1:], "hire_date")
NO_MANAGER, UNRESOLVED, RESOLVED, SELF, CYCLE = range(5)
MANAGER_STATES = ("none", "unresolved", "resolved", "self", "cycle")
_plain_values = attrgetter(*AS_THEY_ARE)

_TABLES = f"""
pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16000;
create table staged (n integer primary key, ref text, pid text, row_hash text, {", ".join(STORED)});
create unique index staged_key on staged (source_key);
create table protected (source_key text primary key);
create table known (source_key text primary key, pid text, row_hash text, employee_number text,
    email_folded text, display_name text, manager_ref text, manager_pid text, manager_state text,
    present integer, working integer) without rowid;
create table one (id integer primary key, pid text, source_key text, kind text, working integer);
create table link (id integer primary key, boss integer, state text, depth integer);
"""


@dataclass(slots=True)
class RunReport:
    """What one roster run did; `as_json` is the public document.

    :ivar run_id: None for a dry run, which leaves no trace.
    :ivar seen: records that the source gave, skipped ones among them.
    :ivar created, updated, unchanged, deactivated, reactivated: people; of a held or dry run, as if applied.
    :ivar skipped: {"ref", "field", "reason"} each, 10,000 at most.
    :ivar notes: facts for an administrator: unmapped grades by frequency, manager states, brakes.
    """

    run_id: str | None
    status: str
    mode: str
    seen: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deactivated: int = 0
    reactivated: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    held_reason: str | None = None
    cursor: str | None = None
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Give the numbers as `RosterRun.counts` keeps them."""
        names = ("seen", "created", "updated", "unchanged", "deactivated", "reactivated")
        return {name: getattr(self, name) for name in names}

    def as_json(self) -> dict[str, Any]:
        """Give the document of `hris sync --json`. **Touches** pure."""
        head = {"run_id": self.run_id, "status": self.status, "mode": self.mode}
        tail = {"held_reason": self.held_reason, "cursor": self.cursor, "seconds": round(self.seconds, 3)}
        return {**head, **self.counts, "skipped": self.skipped, **tail}


@dataclass(frozen=True, slots=True)
class Change:
    """What applying the staged roster would do, as numbers.

    :ivar kinds: people by kind: created, updated, unchanged, reactivated, deactivated (by status), absent,
        kept (known, not in this roster, and no leaver).
    :ivar usable: records that can be applied, without duplicates.
    :ivar leaving: people at work who would no longer be.
    :ivar working_before, working_after: people at work.
    :ivar emails, managers: people both known and staged who had one before, and how many have another now.
    :ivar blanks: share of empty cells per column, 0..1.
    """

    kinds: Mapping[str, int]
    usable: int
    duplicates: int
    leaving: int
    working_before: int
    working_after: int
    emails: tuple[int, int]
    managers: tuple[int, int]
    blanks: Mapping[str, float]


def effective_status(record: EmployeeRecord, today: date) -> str:
    """Tell what a status means today: past leaving dates end it, future hire dates postpone it.

    **Source** BambooHR and others list future hires as inactive. **Touches** pure.
    """
    hired, left = record.hire_date, record.termination_date
    if hired is not None and hired > today and record.status in ("active", "unknown", "terminated"):
        return "prehire" if left is None or left >= hired else record.status
    # A hire date after the leaving date is a return; the old leaving date says nothing any more.
    if left is not None and left < today and not (hired is not None and hired > left):
        return record.status if record.status == "deceased" else "terminated"
    return record.status


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


@lru_cache(maxsize=65536)
def fold_name(name: str | None) -> str | None:
    """Fold a name for comparing; "Last, First" becomes "first last". **Touches** pure."""
    if not name:
        return None
    last, comma, first = name.partition(",")
    return " ".join((f"{first} {last}" if comma else name).casefold().split())


def shown_name(record: EmployeeRecord) -> str:
    """Give the name by which a person is shown when the source has none: given and family name, else a key.

    **Touches** pure.
    """
    names = (record.preferred_name or record.given_name, record.family_name)
    return " ".join(filter(None, names)) or record.user_name or record.employee_number or record.source_key


class Staging:
    """One run's roster on disk. Close it, or use it in a `with`; the file goes away with it.

    :param grade_ranks: grade word -> 0..100.
    :param today: the date by which leaving and hire dates are judged.
    """

    def __init__(self, grade_ranks: Mapping[str, int], today: date) -> None:
        self._ranks = {grade.strip().casefold(): rank for grade, rank in grade_ranks.items()}
        self._today = today
        self._db = sqlite3.connect("")
        self._db.isolation_level = None
        self._db.create_function("fold_name", 1, fold_name, deterministic=True)
        self._db.create_function("casefold", 1, lambda text: text and text.casefold(), deterministic=True)
        self._db.executescript(_TABLES)
        self._db.execute("begin")
        places = ", ".join("?" * (len(STORED) + 3))
        self._insert = (
            f"insert into staged (ref, pid, row_hash, {', '.join(STORED)}) values ({places})"  # noqa: S608
            " on conflict do nothing"
        )
        self.seen = 0
        self.duplicates = 0
        self.cursor: str | None = None
        self.skipped: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # -- in ------------------------------------------------------------------------------------------------

    def add_page(self, page: RosterPage) -> None:
        """Take one page of the connector; a key that came before is skipped and listed.

        **Touches** the staging file.
        """
        rows = [self._row(record) for record in page.records]
        added = self._db.executemany(self._insert, rows).rowcount if rows else 0
        if added < len(rows):
            self._list_duplicates(rows)
        for skipped in page.skipped:
            self._skip(skipped.ref, skipped.field, skipped.reason)
            if skipped.source_key:
                self._db.execute("insert or ignore into protected values (?)", (skipped.source_key,))
        self.seen += len(page.records) + len(page.skipped)
        self.cursor = page.cursor

    def _row(self, record: EmployeeRecord) -> tuple[Any, ...]:
        if not record.display_name:
            record = replace(record, display_name=shown_name(record))
        plain = _plain_values(record)
        rank = record.seniority_rank
        if rank is None and record.grade is not None:
            rank = self._ranks.get(record.grade.strip().casefold())
        hired, left = record.hire_date, record.termination_date
        values = (
            *plain,
            record.email.casefold() if record.email else None,
            rank,
            usable_time_zone(record.time_zone),
            effective_status(record, self._today) if hired or left else record.status,
            hired.isoformat() if hired else None,
            left.isoformat() if left else None,
            " ".join(record.languages),
        )
        digest = blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return (record.ref, new_id().hex, digest, *values)

    def _list_duplicates(self, rows: Sequence[tuple[Any, ...]]) -> None:
        for ref, pid, _digest, key, *_rest in rows:
            kept = self._db.execute("select pid from staged where source_key = ?", (key,)).fetchone()
            if kept[0] != pid:
                self.duplicates += 1
                self._skip(ref, "source_key", DUPLICATE)

    def _skip(self, ref: str, name: str, reason: str) -> None:
        if len(self.skipped) < MOST_LISTED:
            self.skipped.append({"ref": ref, "field": name, "reason": reason})

    def add_known(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take the people whom the account has so far.

        :param rows: in the order of the table `known`; ids in hexadecimal.
        **Touches** the staging file.
        """
        self._db.executemany("insert into known values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    # -- compare -------------------------------------------------------------------------------------------

    def compare(self, *, everybody: bool) -> Change:
        """Say what kind of change each person is, then find the managers.

        :param everybody: the source gave its whole roster, so that absence means departure.
        **Touches** the staging file.
        """
        self._db.execute(
            """insert into one select s.n, coalesce(k.pid, s.pid), s.source_key, case
                when k.source_key is null then 'created'
                when s.status in ('terminated', 'deceased') and k.working then 'deactivated'
                when s.status not in ('terminated', 'deceased') and not k.working then 'reactivated'
                when k.present and k.row_hash = s.row_hash then 'unchanged'
                else 'updated' end, s.status not in ('terminated', 'deceased')
            from staged s left join known k on k.source_key = s.source_key order by s.n"""
        )
        self._db.execute(
            """insert into one select null, k.pid, k.source_key,
                iif(? and k.present and k.source_key not in (select source_key from protected),
                    'absent', 'kept'),
                k.working
            from known k where k.source_key not in (select source_key from staged)""",
            (everybody,),
        )
        self._db.execute("create unique index one_key on one (source_key)")
        self._find_managers()
        return self._change()

    def _change(self) -> Change:
        kinds = dict(self._db.execute("select kind, count(*) from one group by kind"))
        usable = self._number("select count(*) from staged")
        leaving_now = self._number("select count(*) from one where kind = 'absent' and working")
        both = (
            "select count(*), coalesce(sum({0} is not {1}), 0) from known k join staged s using (source_key)"
        )
        emails = both.format("k.email_folded", "s.email_folded") + " where k.email_folded is not null"
        manager = "coalesce(s.manager_key, s.manager_email, s.manager_name, '')"
        managers = both.format("k.manager_ref", manager) + " where k.manager_ref <> ''"
        blanks = ", ".join(f"coalesce(avg({column} is null), 0)" for column in WATCHED_FOR_BLANKS)
        shares = self._db.execute(f"select {blanks} from staged").fetchone()  # noqa: S608 - our own names.
        return Change(
            kinds=kinds,
            usable=usable,
            duplicates=self.duplicates,
            leaving=leaving_now + kinds.get("deactivated", 0),
            working_before=self._number("select count(*) from known where working"),
            working_after=self._number("select count(*) from one where kind <> 'absent' and working"),
            emails=self._db.execute(emails).fetchone(),
            managers=self._db.execute(managers).fetchone(),
            blanks=dict(zip(WATCHED_FOR_BLANKS, shares, strict=True)),
        )

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    # -- managers ------------------------------------------------------------------------------------------

    def _find_managers(self) -> None:
        last = self._number("select coalesce(max(id), 0) from one")
        boss = array("q", bytes(8 * (last + 1)))
        states = bytearray(last + 1)
        for person, manager, named in self._db.execute(
            """select s.n, coalesce(m.id, 0),
                coalesce(s.manager_key, s.manager_email, s.manager_name) is not null
            from staged s left join one m on m.source_key = s.manager_key and m.kind <> 'absent'"""
        ):
            boss[person] = manager
            states[person] = RESOLVED if manager else UNRESOLVED if named else NO_MANAGER
        if UNRESOLVED in states:
            for person, manager in self._other_ways(states):
                boss[person], states[person] = manager, RESOLVED
        for person, manager in self._db.execute(
            """select o.id, m.id from one o join known k using (source_key)
            join known b on b.pid = k.manager_pid
            join one m on m.source_key = b.source_key where o.kind = 'kept'"""
        ):
            boss[person], states[person] = manager, RESOLVED
        depths = _cut_cycles(boss, states)
        self._db.executemany(
            "insert into link values (?, ?, ?, ?)",
            ((n, boss[n] or None, MANAGER_STATES[states[n]], depths[n]) for n in range(1, last + 1)),
        )

    def _other_ways(self, states: bytearray) -> Iterator[tuple[int, int]]:
        """Find managers by number, then e-mail, then name, where exactly one person answers to it."""
        self._db.execute("create table open (id integer primary key)")
        self._db.executemany(
            "insert into open values (?)", ((n,) for n, s in enumerate(states) if s == UNRESOLVED)
        )
        self._db.execute(
            """create table called as select o.id, c.* from one o join (
                select source_key, employee_number as number, email_folded as email,
                    fold_name(display_name) as name, fold_name(given_name || ' ' || family_name) as name_2
                from staged union all
                select source_key, employee_number, email_folded, fold_name(display_name), null from known
                where source_key not in (select source_key from staged)
            ) c using (source_key) where o.kind <> 'absent'"""
        )
        self._db.execute("create table alias (way, word, id, primary key (way, word, id)) without rowid")
        for way, column in (("number", "number"), ("email", "email"), ("name", "name"), ("name", "name_2")):
            self._db.execute(
                f"insert or ignore into alias select ?, {column}, id from called"  # noqa: S608 - our own names.
                f" where {column} is not null",
                (way,),
            )
        yield from self._by_alias("number", "s.manager_key")
        yield from self._by_alias("email", "casefold(s.manager_email)")
        yield from self._by_alias("name", "fold_name(s.manager_name)")

    def _by_alias(self, way: str, word: str) -> list[tuple[int, int]]:
        found = self._db.execute(
            f"""select s.n, min(a.id) from open o join staged s on s.n = o.id
            join alias a on a.way = ? and a.word = {word} group by s.n having count(*) = 1""",  # noqa: S608
            (way,),
        ).fetchall()
        self._db.executemany("delete from open where id = ?", ((person,) for person, _ in found))
        return found

    # -- out -----------------------------------------------------------------------------------------------

    def manager_states(self) -> dict[str, int]:
        """Count how the managers of the staged people were found. **Touches** the staging file."""
        query = "select l.state, count(*) from link l join staged s on s.n = l.id group by l.state"
        return dict(self._db.execute(query))

    def unmapped_grades(self) -> list[list[Any]]:
        """List grade words without a rank, most frequent first, 50 at most. **Touches** the staging file."""
        query = """select grade, count(*) from staged where grade is not null and seniority_rank is null
            group by grade order by 2 desc, 1 limit 50"""
        return [list(row) for row in self._db.execute(query)]

    def rows(self, kinds: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Give the people of these kinds, managers before their reports.

        :return: (id, manager's id or None, manager state, row hash, then `STORED`); ids in hexadecimal.
        **Touches** the staging file.
        """
        columns = ", ".join(f"s.{column}" for column in STORED)
        places = ", ".join("?" * len(kinds))
        return self._db.execute(
            f"""select o.pid, b.pid, l.state, s.row_hash, {columns} from one o join staged s on s.n = o.id
            join link l on l.id = o.id left join one b on b.id = l.boss
            where o.kind in ({places}) order by l.depth, o.id""",  # noqa: S608 - our own names and placeholders.
            tuple(kinds),
        )

    def moved(self) -> Iterator[tuple[Any, ...]]:
        """Give unchanged people whose manager is another one now: (id, manager's id or None, state).

        **Touches** the staging file.
        """
        return self._db.execute(
            """select o.pid, b.pid, l.state from one o join known k using (source_key)
            join link l on l.id = o.id left join one b on b.id = l.boss
            where o.kind = 'unchanged' and (b.pid is not k.manager_pid or l.state <> k.manager_state)"""
        )

    def absent(self) -> Iterator[str]:
        """Give the ids of people whom a complete roster no longer has. **Touches** the staging file."""
        for (pid,) in self._db.execute("select pid from one where kind = 'absent' order by id"):
            yield pid


def _cut_cycles(boss: "array[int]", states: bytearray) -> "array[int]":
    """Take the manager from everybody who is their own manager, directly or in a circle.

    :param boss: manager's number per person, 0 for none; changed in place.
    :return: how many managers stand above each person.
    """
    depths = array("q", [-1]) * len(boss)
    depths[0] = -1
    for start in range(1, len(boss)):
        path: list[int] = []
        person = start
        while person and depths[person] == -1:
            depths[person] = -2  # On the path that is being walked.
            path.append(person)
            person = boss[person]
        if person and depths[person] == -2:
            circle = path[path.index(person) :]
            for member in circle:
                states[member] = SELF if len(circle) == 1 else CYCLE
                boss[member] = 0
        for member in reversed(path):
            above = boss[member]
            depths[member] = depths[above] + 1 if above else 0
    return depths

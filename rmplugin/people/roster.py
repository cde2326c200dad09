"""Staging of one roster run: a private file on disk in which the new roster meets the known one.

Pages stream in, SQLite compares sets, rows to write stream out; memory stays flat however long the roster is.
"""

# ruff: noqa: S608 - statements are put together from our own names and placeholders, never from values.

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from rmplugin.db import new_id
from rmplugin.errors import SkippableRecordError
from rmplugin.people import relations
from rmplugin.people.brakes import Change
from rmplugin.people.canonical import (
    AS_THEY_ARE,
    LEFT,
    STORED,
    as_document,
    as_record,
    clean,
    digest,
    fold_name,
    local_day,
    stored_values,
)
from rmplugin.records import EmployeeRecord, RosterPage

# What a run counts, in the order in which it is told.
COUNTS = ("seen", "created", "updated", "unchanged", "deactivated", "reactivated")
MOST_LISTED = 10_000
MOST_SHOWN = 200
# Absence from one complete reading may be the source's fault; so many in a row are a departure.
RUNS_UNTIL_GONE = 2
DUPLICATE = "The same key stands in an earlier record; the first one is kept."
# An empty termination date is good news, and a rank depends on our own table.
WATCHED_FOR_BLANKS = (*AS_THEY_ARE[1:], "hire_date")
CHUNK = 2000

# Tables without rows cost nothing, so all of them are always there.
_TABLES = f"""
pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16000;
create table staged (n integer primary key, ref text, row_hash text, document text,
    {", ".join(STORED)});
create unique index staged_key on staged (source_key);
create table protected (source_key text primary key) without rowid;
create table gone (source_key text primary key) without rowid;
create table future (source_key text, effective_on text, document text,
    primary key (source_key, effective_on)) without rowid;
create table kept_values (source_key text primary key, document text) without rowid;
create table known (source_key text primary key, pid text, row_hash text, employee_number text,
    email_folded text, display_name text, legal_entity text, hire_date text, manager_key text,
    manager_email text, manager_name text, manager_pid text, manager_state text, former_emails text,
    email_reused integer, same_pid text, kept_apart integer, missing_runs integer, present integer,
    working integer) without rowid;
create table others (pid text primary key, employee_number text, email_folded text, legal_entity text,
    hire_date text, manager_pid text, former_emails text, present integer, working integer) without rowid;
create table one (id integer primary key, pid text, source_key text, kind text, working integer);
create table link (id integer primary key, boss integer, state text, depth integer);
create table reused (id integer primary key);
create table same (id integer primary key, pid text);
create table unclear (id integer primary key);
"""
KNOWN_PLACES = ", ".join("?" * 20)
OTHER_PLACES = ", ".join("?" * 9)


@dataclass(slots=True)
class RunReport:
    """What one roster run did; `as_json` is the public document.

    :ivar run_id: None for a dry run, which leaves no trace.
    :ivar seen: records that the source gave, skipped ones among them.
    :ivar created, updated, unchanged, deactivated, reactivated: people; of a held or dry run, as if applied
        because somebody accepted it.
    :ivar skipped: {"ref", "field", "reason"} each, 10,000 at most.
    :ivar notes: facts for an administrator. Always: "managers" by state, "unmapped_grades" by frequency,
        "blanks" and "fields" for the next run. Where there are any: "missing" people, "incomplete" (what came
        of how many), "brakes" by name with their numbers, "to_review" (who may be somebody of another
        account), "difference" of a held or dry run (`Staging.difference`).
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
        return {name: getattr(self, name) for name in COUNTS}

    def as_json(self) -> dict[str, Any]:
        """Give the document of `hris sync --json`. **Touches** pure."""
        head = {"run_id": self.run_id, "status": self.status, "mode": self.mode}
        tail = {"held_reason": self.held_reason, "cursor": self.cursor, "seconds": round(self.seconds, 3)}
        return {**head, **self.counts, "skipped": self.skipped, **tail}


class Staging:
    """One run's roster on disk. Close it, or use it in a `with`; the file goes away with it.

    :param ranks: grade word -> 0..100.
    :param now: the moment by which leaving and hire dates are judged, each where the person is.
    :param rank_by: field of the record that is looked up in `ranks`.
    """

    def __init__(self, ranks: Mapping[str, int], now: datetime, rank_by: str = "grade") -> None:
        self._ranks = {word.strip().casefold(): rank for word, rank in ranks.items()}
        self._rank_by = rank_by
        self.now = now
        self._days: dict[str | None, date] = {None: now.astimezone(UTC).date()}
        self._start()

    def _start(self) -> None:
        self._db = sqlite3.connect("")
        self._db.isolation_level = None
        self._db.create_function("fold_name", 1, fold_name, deterministic=True)
        self._db.create_function("casefold", 1, lambda text: text and text.casefold(), deterministic=True)
        self._db.create_function("new_pid", 0, lambda: new_id().hex)
        self._db.executescript(_TABLES)
        self._db.execute("begin")
        places = ", ".join("?" * (len(STORED) + 4))
        self._columns = f"staged (n, ref, row_hash, document, {', '.join(STORED)}) values ({places})"
        self.seen = 0
        self.duplicates = 0
        self.total: int | None = None
        self.fields: frozenset[str] | None = None
        self.withheld: set[str] = set()
        self.cursor: str | None = None
        # The very same export, read again, makes nobody missing for a second time.
        self.is_same_export = False
        self.skipped: list[dict[str, str]] = []
        self._not_usable = 0
        self._taken = 0

    def start_again(self) -> None:
        """Forget what was read, because everything is read anew. **Touches** the staging file."""
        self._db.close()
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # -- in ------------------------------------------------------------------------------------------------

    def add_page(self, page: RosterPage, *, newest_wins: bool = False) -> None:
        """Take one page of the connector.

        :param newest_wins: of two records with one key the later counts, as in a list of changes; else the
            first one is kept and the other is listed.
        **Touches** the staging file.
        """
        rows = [row for record in page.records if (row := self._take(record)) is not None]
        verb = "insert or replace into" if newest_wins else "insert or ignore into"
        added = self._db.executemany(f"{verb} {self._columns}", rows).rowcount if rows else 0
        if added < len(rows):
            self._list_duplicates(rows)
        if page.gone:
            keys = [(key,) for key in page.gone]
            self._db.executemany("insert or ignore into gone values (?)", keys)
            self._db.executemany("delete from staged where source_key = ?", keys)
        for skipped in page.skipped:
            self._skip(skipped.ref, skipped.field, skipped.reason, skipped.source_key)
        self.seen += len(page.records) + len(page.skipped)
        self.cursor = page.cursor
        self.total = self.total if page.total is None else page.total
        self.fields = self.fields if page.fields is None else page.fields

    def _take(self, record: EmployeeRecord) -> tuple[Any, ...] | None:
        try:
            record = clean(record)
        except SkippableRecordError as error:
            key = record.source_key if isinstance(record.source_key, str) else None
            self._skip(error.ref, error.field, error.reason, key)
            return None
        from_day = record.effective_from
        if from_day is not None and from_day > self._day(record.time_zone):
            values = (record.source_key, from_day.isoformat(), json.dumps(as_document(record)))
            self._db.execute("insert or replace into future values (?, ?, ?)", values)
            return None
        document = None
        if record.withheld:
            self.withheld |= record.withheld
            document = json.dumps(as_document(record))
        values = self._values(record)
        self._taken += 1
        return (self._taken, record.ref, digest(values), document, *values)

    def _values(self, record: EmployeeRecord) -> tuple[Any, ...]:
        rank = record.seniority_rank
        if rank is None:
            word = getattr(record, self._rank_by)
            rank = self._ranks.get(word.strip().casefold()) if word else None
        return stored_values(record, rank, self._day(record.time_zone))

    def _day(self, time_zone: str | None) -> date:
        if time_zone not in self._days:
            self._days[time_zone] = local_day(time_zone, self.now)
        return self._days[time_zone]

    def _list_duplicates(self, rows: Sequence[tuple[Any, ...]]) -> None:
        for n, ref, _digest, _document, key, *_rest in rows:
            kept = self._db.execute("select n from staged where source_key = ?", (key,)).fetchone()
            if kept[0] != n:
                self.duplicates += 1
                self._list(ref, "source_key", DUPLICATE)

    def _skip(self, ref: str, name: str, reason: str, source_key: str | None) -> None:
        self._not_usable += 1
        self._list(ref, name, reason)
        if source_key:
            self._db.execute("insert or ignore into protected values (?)", (source_key,))

    def _list(self, ref: str, name: str, reason: str) -> None:
        if len(self.skipped) < MOST_LISTED:
            self.skipped.append({"ref": ref, "field": name, "reason": reason})

    def add_known(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take the people whom the account has so far.

        :param rows: in the order of the table `known`; ids in hexadecimal.
        **Touches** the staging file.
        """
        self._db.executemany(f"insert into known values ({KNOWN_PLACES})", rows)

    def add_others(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take the people of the tenant's other accounts.

        :param rows: in the order of the table `others`; ids in hexadecimal.
        **Touches** the staging file.
        """
        self._db.executemany(f"insert into others values ({OTHER_PLACES})", rows)

    def keep_withheld(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Let what is known stand where the source hides it.

        :param rows: (key, document of the withheld fields) of everybody who is known.
        **Touches** the staging file.
        """
        pairs = ((key, json.dumps(document)) for key, document in rows)
        self._db.executemany("insert into kept_values values (?, ?)", pairs)
        names = ", ".join(("row_hash", *STORED))
        places = ", ".join("?" * (len(STORED) + 1))
        last = 0
        while found := self._db.execute(
            "select n, ref, s.document, k.document from staged s join kept_values k using (source_key)"
            f" where s.document is not null and n > ? order by n limit {CHUNK}",
            (last,),
        ).fetchall():
            last = found[-1][0]
            changed = []
            for n, _ref, document, kept in found:
                record, known = json.loads(document), json.loads(kept)
                record |= {name: known[name] for name in record["withheld"] if name in known}
                values = self._values(as_record(record))
                changed.append((digest(values), *values, n))
            self._db.executemany(f"update staged set ({names}) = ({places}) where n = ?", changed)

    # -- compare -------------------------------------------------------------------------------------------

    @property
    def came(self) -> int:
        """Tell how many people the source gave, skipped ones among them."""
        later = """select count(distinct source_key) from future
            where source_key not in (select source_key from staged)"""
        return self._number("select count(*) from staged") + self._number(later) + self._not_usable

    @property
    def is_complete(self) -> bool:
        """Tell whether as many people came as the source says that it has."""
        return self.total is None or self.came >= self.total

    def compare(self, *, everybody: bool) -> Change:
        """Say what kind of change each person is, then find the managers, and who is known elsewhere.

        :param everybody: absence from this roster means something.
        **Touches** the staging file.
        """
        self._db.execute(
            f"""insert into one select s.n, coalesce(k.pid, new_pid()), s.source_key, case
                when k.source_key is null then 'created'
                when s.status in {LEFT} and k.working then 'deactivated'
                when s.status not in {LEFT} and not k.working then 'reactivated'
                when k.present and k.row_hash = s.row_hash then 'unchanged'
                else 'updated' end, s.status not in {LEFT}
            from staged s left join known k on k.source_key = s.source_key order by s.n"""
        )
        self._db.execute(
            """insert into one select null, k.pid, k.source_key, case
                when not k.present then 'kept'
                when k.source_key in (select source_key from gone) then 'gone'
                when not ? or k.source_key in (select source_key from protected)
                    or k.source_key in (select source_key from future) then 'kept'
                when k.missing_runs + 1 < ? then 'missing' else 'absent' end, k.working
            from known k where k.source_key not in (select source_key from staged)""",
            (everybody, RUNS_UNTIL_GONE),
        )
        self._db.execute("insert into one select null, pid, null, 'other', 0 from others")
        self._db.execute("create unique index one_key on one (source_key)")
        self._db.execute("create index one_pid on one (pid)")
        relations.find_managers(self._db)
        relations.find_the_same(self._db)
        relations.find_reused_addresses(self._db)
        return self._change()

    def _change(self) -> Change:
        kinds = dict(self._db.execute("select kind, count(*) from one where kind <> 'other' group by kind"))
        leaving = dict(
            self._db.execute(
                """select kind, count(*) from one
                where kind in ('gone', 'missing', 'absent') and working group by kind"""
            )
        )
        leaving_now = kinds.get("deactivated", 0) + leaving.get("gone", 0) + leaving.get("absent", 0)
        manager = "coalesce({0}.manager_key, {0}.manager_email, {0}.manager_name)"
        blanks = ", ".join(f"coalesce(avg({column} is null), 0)" for column in WATCHED_FOR_BLANKS)
        shares = self._db.execute(f"select {blanks} from staged").fetchone()
        usable = self._number("select count(*) from staged")
        return Change(
            kinds=kinds,
            usable=usable,
            duplicates=self.duplicates,
            leaving=kinds.get("deactivated", 0) + leaving.get("gone", 0) + leaving.get("missing", 0),
            leaving_now=leaving_now,
            working_before=self._number("select count(*) from known where working and not missing_runs"),
            working_after=self._number(
                """select count(*) from one where working and kind not in ('gone', 'missing', 'absent')
                and not (kind = 'kept' and source_key in (select source_key from known where missing_runs))"""
            ),
            emails=self._changed("k.email_folded", "s.email_folded"),
            managers=self._changed(manager.format("k"), manager.format("s")),
            # Of nobody nothing is known, neither empty nor filled.
            blanks=dict(zip(WATCHED_FOR_BLANKS, shares, strict=True)) if usable else {},
            seen=self.seen,
            fields=sorted(self.fields) if self.fields is not None else None,
        )

    def _changed(self, before: str, now: str) -> tuple[int, int]:
        had = f"from known k {{}} where k.present and {before} is not null"
        both = had.format("join staged s using (source_key)")
        return (
            self._number(f"select count(*) {had.format('')}"),
            self._number(f"select count(*) {both} and {before} is not {now}"),
        )

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    def take_missing_as_gone(self) -> int:
        """Let everybody leave who is missing, because somebody has looked at them.

        :return: how many of them were at work.
        **Touches** the staging file.
        """
        at_work = self._number("select count(*) from one where kind = 'missing' and working")
        self._db.execute("update one set kind = 'absent' where kind = 'missing'")
        return at_work

    # -- out -----------------------------------------------------------------------------------------------

    def manager_states(self) -> dict[str, int]:
        """Count how the managers of the staged people were found. **Touches** the staging file."""
        query = "select l.state, count(*) from link l join staged s on s.n = l.id group by l.state"
        return dict(self._db.execute(query))

    def unmapped_grades(self) -> list[list[Any]]:
        """List grade words without a rank, most frequent first, 50 at most. **Touches** the staging file."""
        query = f"""select {self._rank_by}, count(*) from staged
            where {self._rank_by} is not null and seniority_rank is null
            group by 1 order by 2 desc, 1 limit 50"""
        return [list(row) for row in self._db.execute(query)]

    def to_review(self) -> list[dict[str, str]]:
        """List who may be somebody of another account, but not for sure. **Touches** the staging file."""
        query = "select ref from staged s join unclear u on u.id = s.n order by s.n limit ?"
        reason = (
            "Another account has somebody with this employee number or address, but more than one entry fits."
        )
        return [{"ref": ref, "reason": reason} for (ref,) in self._db.execute(query, (MOST_SHOWN,))]

    def difference(self, filled: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
        """Show what a run would do, without names.

        :param filled: (key, then 1 or 0 per column of `WATCHED_FOR_BLANKS`) of everybody who is known.
        :return: "leaving": ids, 200 at most; "joining": refs, 200 at most; "emptied": fields that would lose
            their value, with numbers; "known_elsewhere": people of another account among the new ones.
        **Touches** the staging file.
        """
        names = ", ".join(WATCHED_FOR_BLANKS)
        places = ", ".join("?" * (len(WATCHED_FOR_BLANKS) + 1))
        self._db.execute(f"create table filled (source_key text primary key, {names}) without rowid")
        self._db.executemany(f"insert into filled values ({places})", filled)
        sums = ", ".join(f"coalesce(sum(f.{name} and s.{name} is null), 0)" for name in WATCHED_FOR_BLANKS)
        lost = self._db.execute(f"select {sums} from staged s join filled f using (source_key)").fetchone()
        leaving = self._db.execute(
            """select pid from one where kind = 'deactivated'
                or kind in ('gone', 'missing', 'absent') and working order by id limit ?""",
            (MOST_SHOWN,),
        )
        joining = self._db.execute(
            "select ref from staged s join one o on o.id = s.n where o.kind = 'created' order by n limit ?",
            (MOST_SHOWN,),
        )
        return {
            "leaving": [str(UUID(pid)) for (pid,) in leaving],
            "joining": [ref for (ref,) in joining],
            "emptied": {name: n for name, n in zip(WATCHED_FOR_BLANKS, lost, strict=True) if n},
            "known_elsewhere": self._number("select count(*) from same"),
        }

    def rows(self, kinds: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Give the people of these kinds, managers before their reports.

        :return: (id, manager's id or None, manager state, row hash, address of before, former addresses, 1
            for a reused address, then `STORED`); ids in hexadecimal.
        **Touches** the staging file.
        """
        columns = ", ".join(f"s.{column}" for column in STORED)
        places = ", ".join("?" * len(kinds))
        return self._db.execute(
            f"""select o.pid, b.pid, l.state, s.row_hash, k.email_folded, k.former_emails,
                r.id is not null or coalesce(k.email_reused and k.email_folded is s.email_folded, 0),
                {columns}
            from one o join staged s on s.n = o.id join link l on l.id = o.id
            left join one b on b.id = l.boss left join known k on k.source_key = s.source_key
            left join reused r on r.id = o.id
            where o.kind in ({places}) order by l.depth, o.id""",
            tuple(kinds),
        )

    def moved(self) -> Iterator[tuple[Any, ...]]:
        """Give people of whom only the manager is another one now: (id, manager's id or None, state).

        **Touches** the staging file.
        """
        return self._db.execute(
            """select o.pid, b.pid, l.state from one o join known k using (source_key)
            join link l on l.id = o.id left join one b on b.id = l.boss
            where o.kind in ('unchanged', 'kept')
                and (b.pid is not k.manager_pid or l.state <> k.manager_state)"""
        )

    def doubles(self) -> Iterator[tuple[str, str | None]]:
        """Give people whose link to a row of another account changes: (id, the other's id or None).

        **Touches** the staging file.
        """
        return self._db.execute(
            """select o.pid, m.pid from staged s join one o on o.id = s.n
            left join known k on k.source_key = s.source_key left join same m on m.id = s.n
            where m.pid is not k.same_pid and not coalesce(k.kept_apart, 0)"""
        )

    def ids(self, *kinds: str) -> Iterator[str]:
        """Give the ids of people of these kinds. **Touches** the staging file."""
        places = ", ".join("?" * len(kinds))
        for (pid,) in self._db.execute(f"select pid from one where kind in ({places}) order by id", kinds):
            yield pid

    def found_again(self) -> Iterator[str]:
        """Give the ids of unchanged people who were missing. **Touches** the staging file."""
        for (pid,) in self._db.execute(
            """select o.pid from one o join known k using (source_key)
            where o.kind = 'unchanged' and k.missing_runs order by o.id"""
        ):
            yield pid

    def keys(self) -> Iterator[str]:
        """Give the keys of everybody of whom the source said anything. **Touches** the staging file."""
        for (key,) in self._db.execute(
            """select source_key from staged union select source_key from future
            union select source_key from gone"""
        ):
            yield key

    def futures(self) -> Iterator[tuple[str, str, str]]:
        """Give the records of later days: (key, day, document). **Touches** the staging file."""
        return self._db.execute("select source_key, effective_on, document from future")

"""Who leads whom, who is known from another account, whose address was somebody else's: on a staging file."""

# ruff: noqa: S608 - statements are put together from our own names and placeholders, never from values.

import json
import sqlite3
from array import array
from collections.abc import Iterator

NO_MANAGER, UNRESOLVED, RESOLVED, SELF, CYCLE = range(5)
MANAGER_STATES = ("none", "unresolved", "resolved", "self", "cycle")

# Everybody of the account as they are after the run: the staged record, else what is known.
_OWN = """create table if not exists own as select o.id, o.pid, c.*, o.working,
    o.kind not in ('gone', 'absent') as stays from one o join (
        select source_key, employee_number as number, email_folded as email, legal_entity,
            fold_name(display_name) as name, fold_name(given_name || ' ' || family_name) as name_2
        from staged union all
        select source_key, employee_number, email_folded, legal_entity, fold_name(display_name), null
        from known where source_key not in (select source_key from staged)
    ) c using (source_key)"""


def number(db: sqlite3.Connection, query: str) -> int:
    """Give the number that a query comes to. **Touches** the staging file."""
    return int(db.execute(query).fetchone()[0])


def find_managers(db: sqlite3.Connection) -> None:
    """Find everybody's manager and cut circles; fills the table `link`. **Touches** the staging file."""
    last = number(db, "select coalesce(max(id), 0) from one")
    boss = array("q", bytes(8 * (last + 1)))
    states = bytearray(last + 1)
    # Whoever is not in this roster keeps their manager; a manager who left stays one until HR names another.
    for person, manager, named in db.execute(
        """select s.n, coalesce(m.id, 0), coalesce(s.manager_key, s.manager_email, s.manager_name) is not null
        from staged s left join one m on m.source_key = s.manager_key union all
        select o.id, coalesce(m.id, n.id, 0),
            coalesce(k.manager_key, k.manager_email, k.manager_name) is not null
        from known k join one o using (source_key) left join one m on m.pid = k.manager_pid
        left join one n on n.source_key = k.manager_key
        where k.source_key not in (select source_key from staged) union all
        select o.id, m.id, 1 from others t join one o on o.pid = t.pid join one m on m.pid = t.manager_pid"""
    ):
        boss[person] = manager
        states[person] = RESOLVED if manager else UNRESOLVED if named else NO_MANAGER
    if UNRESOLVED in states:
        for person, manager in _other_ways(db, states):
            boss[person], states[person] = manager, RESOLVED
    depths = cut_cycles(boss, states)
    db.executemany(
        "insert into link values (?, ?, ?, ?)",
        ((n, boss[n] or None, MANAGER_STATES[states[n]], depths[n]) for n in range(1, last + 1)),
    )


def _other_ways(db: sqlite3.Connection, states: bytearray) -> Iterator[tuple[int, int]]:
    """Find managers by number, e-mail or name, then in other accounts by the first two, where one fits best.

    Of several, those at work count; two of them are none.
    """
    db.execute("create table open (id integer primary key, number, email, name)")
    db.execute("create table wanted (id integer primary key)")
    db.executemany("insert into wanted values (?)", ((n,) for n, s in enumerate(states) if s == UNRESOLVED))
    db.execute(
        """insert into open select o.id, r.manager_key, casefold(r.manager_email), fold_name(r.manager_name)
        from wanted w join one o using (id) join (
            select source_key, manager_key, manager_email, manager_name from staged union all
            select source_key, manager_key, manager_email, manager_name from known
            where source_key not in (select source_key from staged)
        ) r using (source_key)"""
    )
    db.execute(_OWN)
    db.execute("create table alias (way, word, rank, id, primary key (way, word, rank, id)) without rowid")
    for way, column in (("number", "number"), ("email", "email"), ("name", "name"), ("name", "name_2")):
        db.execute(
            f"insert or ignore into alias select ?, {column}, not (stays and working), id from own"
            f" where {column} is not null",
            (way,),
        )
    for way, column in (("far number", "employee_number"), ("far email", "email_folded")):
        db.execute(
            f"insert or ignore into alias select ?, t.{column}, not t.working, o.id from others t"
            f" join one o on o.pid = t.pid where t.present and t.{column} is not null",
            (way,),
        )
    for way in ("number", "email", "name", "far number", "far email"):
        found = db.execute(
            f"""select p.id, a.id from open p join alias a on a.way = ? and a.word = p.{way.split()[-1]}
            where not exists (select 1 from alias b where b.way = a.way and b.word = a.word
                and (b.rank < a.rank or b.rank = a.rank and b.id <> a.id))""",
            (way,),
        ).fetchall()
        db.executemany("delete from open where id = ?", ((person,) for person, _ in found))
        yield from found


def find_the_same(db: sqlite3.Connection) -> None:
    """Find who is known from another account already; fills the tables `same` and `unclear`.

    By employee number where both have one and it is unique on both sides, else by a work address that is
    unique among those at work on both sides, unless the number names another of the account; never by name.
    The row that was there first stands for the person, unless only the other is at work. Ids grow with time.

    **Touches** the staging file.
    """
    if not number(db, "select exists (select 1 from others)"):
        return
    db.execute(_OWN)
    db.execute(
        """create table mine as select w.*, s.ref from own w join staged s on s.n = w.id
        left join known k on k.source_key = w.source_key where not coalesce(k.kept_apart, 0)"""
    )
    # Without these, the statements below look at everybody once for each person.
    for table, column in (
        ("own", "number"),
        ("own", "email"),
        ("others", "employee_number"),
        ("others", "email_folded"),
    ):
        db.execute(f"create index if not exists {table}_{column} on {table} ({column})")
    # Two of this account who are at work are two people: a number counts for more than an address.
    db.execute(
        """create table claimed as select w.id, t.pid from own w join others t on t.employee_number = w.number
        left join known k on k.source_key = w.source_key
        where w.stays and w.working and t.present and not coalesce(k.kept_apart, 0)
            and (t.legal_entity is null or w.legal_entity is null or t.legal_entity = w.legal_entity)"""
    )
    db.execute("create index claimed_pid on claimed (pid)")
    for column, theirs, here, there in (
        ("number", "employee_number", "stays", "present"),
        ("email", "email_folded", "stays and working", "present and working"),
    ):
        for side, source, word, which in (("here", "own", column, here), ("there", "others", theirs, there)):
            db.execute(f"create table {side}_{column} (word text primary key, n integer) without rowid")
            db.execute(
                f"""insert into {side}_{column} select {word}, count(*) from {source}
                where {which} and {word} is not null group by 1"""
            )
        db.execute("drop table if exists fits")
        db.execute(
            f"""create table fits as select m.id, m.pid, m.working,
                t.pid as other, t.working as other_working, a.n = 1 and b.n = 1 and not exists (
                    select 1 from claimed c where c.pid = t.pid and c.id <> m.id) as only_one
            from mine m
            join here_{column} a on a.word = m.{column}
            join there_{column} b on b.word = m.{column}
            join others t on t.{theirs} = m.{column} and t.{there.replace(" and ", " and t.")}
            where {" and ".join(f"m.{word}" for word in here.split(" and "))}
                and (t.legal_entity is null or m.legal_entity is null or t.legal_entity = m.legal_entity
                    or '{column}' = 'email')
                and m.id not in (select id from same) and m.id not in (select id from unclear)"""
        )
        db.execute("insert or ignore into unclear select id from fits where not only_one")
        db.execute(
            """insert or ignore into same select id, other from fits
            where only_one and other < pid and (other_working or not working)"""
        )


def find_reused_addresses(db: sqlite3.Connection) -> None:
    """Find new addresses that were somebody else's, who has another hire date; fills the table `reused`.

    **Source** addresses of leavers are given to new people. **Touches** the staging file.
    """
    db.execute(
        """create table new_address as select s.n as id, o.pid, s.email_folded as email, s.hire_date
        from staged s join one o on o.id = s.n left join known k on k.source_key = s.source_key
        where s.email_folded is not null and k.email_folded is not s.email_folded"""
    )
    if not number(db, "select exists (select 1 from new_address) and (exists (select 1 from known)"
                      " or exists (select 1 from others))"):  # fmt: skip
        return
    db.execute("create table holder (email text, pid text, hire_date text)")
    db.execute(
        """insert into holder select k.email_folded, k.pid, coalesce(s.hire_date, k.hire_date)
        from known k join one o using (source_key) left join staged s using (source_key)
        where k.email_folded is not null and (not o.working or o.kind in ('gone', 'absent')
            or s.n is not null and s.email_folded is not k.email_folded) union all
        select email_folded, pid, hire_date from others where email_folded is not null and not working"""
    )
    for pid, hired, former in db.execute(
        """select pid, hire_date, former_emails from known where former_emails <> '[]' union all
        select pid, hire_date, former_emails from others where former_emails <> '[]'"""
    ).fetchall():
        db.executemany(
            "insert into holder values (?, ?, ?)", ((email, pid, hired) for email in json.loads(former))
        )
    db.execute("create index holder_email on holder (email)")
    db.execute(
        """insert or ignore into reused select a.id from new_address a join holder h on h.email = a.email
        where h.pid <> a.pid and h.hire_date is not a.hire_date
            and h.pid is not (select pid from same where same.id = a.id)"""
    )


def cut_cycles(boss: "array[int]", states: bytearray) -> "array[int]":
    """Take the manager from everybody who is their own manager, directly or in a circle.

    :param boss: manager's number per person, 0 for none; changed in place.
    :param states: one of the numbers above per person; changed in place.
    :return: how many managers stand above each person.
    **Touches** pure.
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

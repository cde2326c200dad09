"""Who is known from another account, found without looking at everybody for each person."""

import contextlib
import sqlite3

from rmplugin.people import relations
from rmplugin.people.roster import _TABLES


def steps_to_find_the_same(people: int) -> int:
    """Have two accounts list the same people; give how much SQLite had to do, in thousands of steps."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_TABLES)
        db.create_function("fold_name", 1, lambda name: name)
        rows = [(n, str(n)) for n in range(1, people + 1)]
        for add in (
            "insert into staged (n, source_key, employee_number, email_folded) values (?1, ?2, ?2, ?2)",
            "insert into one (id, pid, source_key, kind, working) values (?1, 'z' || ?2, ?2, 'created', 1)",
            (
                "insert into others (pid, employee_number, email_folded, present, working)"
                " values ('a' || ?2, ?2, ?2, ?1 > 0, 1)"
            ),
        ):
            db.executemany(add, rows)
        db.set_progress_handler(count, 1000)
        relations.find_the_same(db)
        assert db.execute("select count(*) from same").fetchone() == (people,)
    return steps


def test_find_the_same_when_twice_as_many_are_in_both_accounts_does_about_twice_as_much():
    assert steps_to_find_the_same(1200) < 3 * steps_to_find_the_same(600)

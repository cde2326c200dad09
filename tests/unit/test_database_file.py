"""The file of an embedded database."""

from cryptography.fernet import Fernet

from rmplugin.db import Database, Secrets


def test_database_file_when_made_is_for_its_owner_alone(tmp_path):
    database = Database(
        f"sqlite:///{tmp_path / 'new' / 'rm.sqlite3'}", Secrets(Fernet.generate_key().decode())
    )
    with database.engine.begin() as connection:
        connection.exec_driver_sql("create table people (name text)")
        files = list((tmp_path / "new").iterdir())
        assert len(files) >= 2
        assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
    database.close()


def test_commit_when_it_is_a_deed_waits_for_the_disk_but_a_login_does_not(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite3'}", Secrets(Fernet.generate_key().decode()))

    def level(connection) -> int:
        return connection.exec_driver_sql("PRAGMA synchronous").scalar_one()

    with database.connection() as connection:
        assert level(connection) == 1
    with database.transaction(None) as db:
        assert level(db.connection()) == 2
    database.close()


def test_sizes_when_learned_let_a_person_be_found_without_reading_the_tenant(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite3'}", Secrets(Fernet.generate_key().decode()))
    with database.engine.begin() as connection:
        connection.exec_driver_sql("create table notice (tenant text, person int, text text)")
        connection.exec_driver_sql("create index by_person on notice (person, text)")
        connection.exec_driver_sql("create index by_tenant on notice (tenant)")
        for person in range(300):
            connection.exec_driver_sql("insert into notice values ('one', ?, 'x')", (person,))

    def plan() -> str:
        with database.engine.connect() as connection:
            wanted = "explain query plan select * from notice where tenant = 'one' and person = 7"
            return str(connection.exec_driver_sql(wanted).all())

    assert "by_tenant" in plan()
    database.learn_sizes()
    assert "by_person" in plan()
    database.close()

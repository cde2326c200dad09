"""The database: engine, base class, column types, and sessions that see one tenant only."""

import fcntl
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psycopg
import uuid_utils.compat
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Table,
    Uuid,
    bindparam,
    create_engine,
    event,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    ORMExecuteState,
    Session,
    mapped_column,
    with_loader_criteria,
)
from sqlalchemy.types import JSON, TypeDecorator

from rmplugin.errors import ConfigError
from rmplugin.texts import Text, pack, unpack

Value = TypeVar("Value")
# Rows in memory when very many are written.
MANY = 2000
# Numbers may be keys, and what is no JSON is refused, as by the standard library.
_AS_USUAL = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def new_id() -> uuid.UUID:
    """Make a time-ordered id. **Source** RFC 9562, UUIDv7. **Touches** pure but for clock and chance."""
    return uuid_utils.compat.uuid7()


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. Aware UTC in Python on every database; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse moments without a zone; SQLite gets naive UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Told(TypeDecorator[str]):
    """What people are shown later, each in their language: a text, with what fills its blanks beside it."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Keep a text without blanks as it is."""
        if isinstance(value, Text) and value.values:
            return json.dumps(pack(value), default=str)
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Text | None:  # noqa: ARG002
        """Give the text, which pages translate."""
        if value is None:
            return None
        return Text(unpack(json.loads(value)) if value.startswith('["') else value)


class Secrets:
    """Encrypts what must not lie open in the database.

    :param key: Fernet key from the settings.
    """

    def __init__(self, key: str | None) -> None:
        if key is None:
            raise ConfigError(["RM_SECRET_KEY is not set and RM_DATA_DIR has none: run `rmplugin init`."])
        try:
            self._fernet = Fernet(key)
        except ValueError as error:
            raise ConfigError(["RM_SECRET_KEY must be 32 bytes in url-safe base64."]) from error

    def lock(self, value: Any) -> bytes:
        """Encrypt a JSON-ready value."""
        return self._fernet.encrypt(json.dumps(value).encode())

    def unlock(self, token: bytes) -> Any:
        """Decrypt what `lock` made.

        :raises ConfigError: the key changed since.
        """
        try:
            return json.loads(self._fernet.decrypt(token))
        except InvalidToken as error:
            raise ConfigError(
                ["RM_SECRET_KEY is not the key with which the stored secrets were encrypted."]
            ) from error


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this once from the class.
        datetime: UtcDateTime,
        uuid.UUID: Uuid,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        list[str]: JSON,
        bytes: LargeBinary,
    }


class HasId:
    """A row with an id of ours."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)


class TenantOwned(HasId):
    """A row that belongs to one tenant. Sessions see only their own tenant's rows of such tables.

    Migrations give SQLite no index of tenants. Of one tenant, which it mostly holds, that would be all rows,
    and while SQLite knows no sizes, it would go before the index of a person, and before a few hundred ids.
    """

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"), index=True)


class Db(Session):
    """A session. With `tenant_id` it is bound to one tenant; without, it may touch only common tables."""

    @property
    def tenant_id(self) -> uuid.UUID:
        """Give the tenant that this session is bound to."""
        tenant_id: uuid.UUID | None = self.info.get("tenant_id")
        if tenant_id is None:
            raise AssertionError("this session is bound to no tenant")
        return tenant_id


class Database:
    """The engine and the two ways to open a transaction on it.

    :param url: SQLAlchemy URL.
    :param secrets: for encrypted columns.
    """

    def __init__(self, url: str, secrets: Secrets, *, pool_size: int = 10) -> None:
        self.url = url
        self.secrets = secrets
        self.engine = _make_engine(url, pool_size)

    @contextmanager
    def transaction(self, tenant_id: uuid.UUID | None, *, write: bool = True) -> Iterator[Db]:
        """Open one transaction; commits at the end of the block, rolls back when it raises.

        :param tenant_id: whose rows are visible; None for common tables only (keys, tenants, logins).
        :param write: False lets readers on SQLite run beside a writer.
        **Touches** what the block does.
        """
        connection = self.engine.connect().execution_options(rm_write=write)
        session = Db(bind=connection, expire_on_commit=False, info={"tenant_id": tenant_id})
        try:
            with session.begin():
                yield session
        finally:
            session.close()
            connection.close()

    @contextmanager
    def connection(self, *, write: bool = True) -> Iterator[Connection]:
        """Open one transaction without objects, for the few statements that every launch runs.

        On SQLite a power cut may lose what the last ones wrote: logins and sessions, made anew by a launch.

        **Touches** what the block does. Nothing binds these statements to a tenant: `tests/rules` lists the
        callers.
        """
        with self.engine.connect() as connection:
            connection.execution_options(rm_write=write, rm_durable=False)
            with connection.begin():
                yield connection

    @contextmanager
    def unbound(self, *, write: bool = True) -> Iterator[Db]:
        """Open a transaction over all tenants, for the few places that must find the tenant first.

        **Touches** what the block does. `tests/rules` lists the callers.
        """
        with self.transaction(None, write=write) as db:
            db.info["all_tenants"] = True
            yield db

    @contextmanager
    def hold(self, what: str, row_id: uuid.UUID) -> Iterator[bool]:
        """Hold a row for work that takes longer than a transaction may; a killed process lets go by dying.

        :param what: kind of work; two kinds never wait for each other.
        :return: False when another process or thread holds it. Nobody waits.
        **Touches** a lock file beside the SQLite file, or an advisory lock of PostgreSQL.
        """
        if self.engine.dialect.name == "sqlite":
            with Path(f"{self.engine.url.database}-{what}-{row_id}.lock").open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                yield True
            return
        # Ids are unique over all tables, so their last 64 bits, which are chance, name the lock.
        key = {"key": int.from_bytes(row_id.bytes[8:], "big", signed=True)}
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            held = bool(connection.scalar(text("select pg_try_advisory_lock(:key)"), key))
            try:
                yield held
            finally:
                if held:
                    connection.execute(text("select pg_advisory_unlock(:key)"), key)

    def learn_sizes(self) -> None:
        """Let SQLite look at how its tables are filled; PostgreSQL does so by itself.

        Before that it takes all indexes for equally good.

        **Source** https://www.sqlite.org/lang_analyze.html. **Touches** SQLite's statistics; connections are
        opened anew, because each reads the statistics when it is opened.
        """
        if self.engine.dialect.name == "sqlite":
            with self.engine.begin() as connection:
                connection.execute(text("ANALYZE"))
            self.engine.dispose()

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def chunks(values: Iterable[Value], size: int = 500) -> Iterator[list[Value]]:
    """Cut values into lists that a statement can carry as parameters; Python 3.12 has `itertools.batched`.

    :param size: most values in one list.
    **Touches** pure.
    """
    values = iter(values)
    while chunk := list(islice(values, size)):
        yield chunk


def insert_rows(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows, however many, at constant memory and with one statement on PostgreSQL.

    :param rows: values by column, the same columns in each; defaults of columns do not apply.
    **Touches** writes the table.
    """
    names, rows = _names_of(rows)
    if not names:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, table, names, rows)
        return
    # By itself SQLAlchemy would look at every value anew, which takes as long as writing it.
    places = ", ".join("?" * len(names))
    statement = f"INSERT INTO {_target(connection, table, names)} VALUES ({places})"  # noqa: S608 - Our names.
    for chunk in chunks(map(tuple, _as_driver_wants(connection, table, names, rows)), MANY):
        connection.exec_driver_sql(statement, chunk)


def change_rows(
    connection: Connection,
    table: Table,
    rows: Iterable[Mapping[str, Any]],
    *where: ColumnElement[bool],
    **same: Any,
) -> None:
    """Change rows, however many, at constant memory and with four statements on PostgreSQL.

    :param rows: "id" and new values by column, the same columns in each.
    :param where: rows that may be changed, whatever the ids.
    :param same: new values of other columns, the same for all.
    **Touches** writes the table.
    """
    names, rows = _names_of(rows)
    if not names:
        return
    if connection.dialect.name == "postgresql":
        # By itself the driver would run a statement for each row.
        new = Table(
            f"new_{table.name}",
            MetaData(),
            *(Column(name, table.c[name].type) for name in names),
            prefixes=["TEMPORARY"],
        )
        new.create(connection)
        _copy(connection, new, names, rows)
        theirs = {name: new.c[name] for name in names if name != "id"}
        connection.execute(update(table).where(*where, table.c.id == new.c.id).values({**theirs, **same}))
        new.drop(connection)
        return
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names if name != "id"}
    change = update(table).where(*where, table.c.id == bindparam("new_id")).values({**values, **same})
    for chunk in chunks(rows, MANY):
        connection.execute(change, [{f"new_{name}": value for name, value in row.items()} for row in chunk])


def _names_of(rows: Iterable[Mapping[str, Any]]) -> tuple[list[str], Iterator[Mapping[str, Any]]]:
    rows = iter(rows)
    first = next(rows, None)
    return ([], rows) if first is None else (list(first), chain([first], rows))


def _target(connection: Connection, table: Table, names: Sequence[str]) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(table.name)} ({', '.join(map(quote, names))})"


def _as_driver_wants(
    connection: Connection, table: Table, names: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> Iterator[list[Any]]:
    dialect = connection.dialect
    makers = [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]
    columns = list(zip(names, makers, strict=True))
    return ([make(row[name]) if make else row[name] for name, make in columns] for row in rows)


def _copy(
    connection: Connection, table: Table, names: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> None:
    statement = f"COPY {_target(connection, table, names)} FROM STDIN"
    driver = connection.connection.driver_connection
    if driver is None:
        raise AssertionError("a connection that is at work has a driver's connection")
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in _as_driver_wants(connection, table, names, rows):
                copy.write_row(row)
    except psycopg.DatabaseError as error:
        # PostgreSQL quotes the row that it does not want, and people's data must not reach a log.
        said = type(error)(error.diag.message_primary or "The database refused a row.")
        raise DBAPIError.instance(
            statement, None, said, psycopg.Error, hide_parameters=True, dialect=connection.dialect
        ) from None


def _make_engine(url: str, pool_size: int) -> Engine:
    scheme, colon, rest = url.partition(":")
    if scheme in ("postgres", "postgresql"):
        # What hosting companies print; without the driver's name another driver would be looked for.
        url = f"postgresql+psycopg{colon}{rest}"
    elif scheme not in ("sqlite", "postgresql+psycopg"):
        raise ConfigError(["RM_DATABASE_URL must begin with sqlite:/// or postgresql+psycopg://."])
    try:
        make_url(url)
    except ArgumentError as error:
        raise ConfigError(["RM_DATABASE_URL cannot be read as an address."]) from error
    # Errors quote their statement; its parameters are people's data and must not reach a log or a terminal.
    if not url.startswith("sqlite"):
        return create_engine(
            url,
            pool_size=pool_size,
            max_overflow=20,
            pool_pre_ping=True,
            hide_parameters=True,
            json_serializer=_json_text,
        )
    path = url.removeprefix("sqlite:///")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # People's data are for the owner of the process alone; SQLite gives its side files the same rights.
    Path(path).touch(mode=0o600)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=20,
        connect_args={"timeout": 30},
        hide_parameters=True,
        json_serializer=_json_text,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _json_text(value: Any) -> str:
    """Write JSON ten times as fast as the standard library, which is asked for what the fast one refuses."""
    try:
        return orjson.dumps(value, option=_AS_USUAL).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own implicit BEGIN comes too late and breaks savepoints; we say BEGIN ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=30000")
    # What is deleted is overwritten; without it, an erased person's words stay in the file's free pages.
    cursor.execute("PRAGMA secure_delete=ON")
    # 16 MB instead of 2: what many rows and their indexes change is written once, not again and again.
    cursor.execute("PRAGMA cache_size=-16384")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A transaction that reads first and writes later can be refused by SQLite at once; IMMEDIATE waits.
    options = connection.get_execution_options()
    write = options.get("rm_write", True)
    driver = connection.connection.driver_connection
    if write:
        # In WAL mode only FULL keeps the last commits through a power cut; it costs a wait for the disk.
        wanted = "FULL" if options.get("rm_durable", True) else "NORMAL"
        if connection.info.get("synchronous") != wanted:
            driver.execute(f"PRAGMA synchronous={wanted}")
            connection.info["synchronous"] = wanted
    driver.execute("BEGIN IMMEDIATE" if write else "BEGIN")


@event.listens_for(Db, "do_orm_execute")
def _bind_to_tenant(state: ORMExecuteState) -> None:
    """Add the tenant to every ORM statement; refuse statements on tenants' rows without one."""
    if state.session.info.get("all_tenants") or not (state.is_select or state.is_update or state.is_delete):
        return
    tenant_id = state.session.info.get("tenant_id")
    if tenant_id is None:
        owned = [m.class_.__name__ for m in state.all_mappers if issubclass(m.class_, TenantOwned)]
        if owned:
            raise AssertionError(f"a statement on {owned} needs a session that is bound to a tenant")
        return
    only = state.session.info.get("only_tenant")
    if only is None:
        only = with_loader_criteria(
            TenantOwned,
            lambda cls: cls.tenant_id == tenant_id,
            include_aliases=True,
            track_closure_variables=True,
        )
        # To make it anew for each statement takes a tenth of a statement's time.
        state.session.info["only_tenant"] = only
    state.statement = state.statement.options(only)


@event.listens_for(Db, "before_flush")
def _stamp_tenant(session: Db, _context: Any, _instances: Any) -> None:
    """Give new rows the session's tenant and refuse rows of another."""
    tenant_id = session.info.get("tenant_id")
    for row in session.new:
        if not isinstance(row, TenantOwned):
            continue
        owner: uuid.UUID | None = row.tenant_id  # None before the flush, whatever the column says.
        if owner is None and tenant_id is not None:
            row.tenant_id = tenant_id
        elif tenant_id is not None and owner != tenant_id:
            raise AssertionError(f"{type(row).__name__} belongs to another tenant")

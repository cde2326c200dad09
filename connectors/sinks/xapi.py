"""Statements in a learning record store (LRS): xAPI 2.0 or 1.0.3.

A statement's id is the record's: the same record twice is one statement. What is taken back is voided, and
what stands in its place comes as a record of its own. **Source** IEEE 9274.1.1; xAPI 1.0.3, part 2 and 3.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma

from connectors.events import (
    DOWN,
    EVERYTHING,
    REFUSED,
    TAKES_BACK,
    answer_of,
    batches,
    check_failed,
    name_person,
)
from connectors.values import Strict, check_address
from rmplugin.api import (
    CheckResult,
    CreditKind,
    CreditRecord,
    CreditSink,
    FatalError,
    RetriableError,
    SinkAnswer,
    hookimpl,
    http,
)

SERVICE = "The learning record store"
VERBS = {"award": "attended", "completion": "completed", "reversal": "voided", "withdrawal": "voided"}
VERB, ACTIVITY = "http://adlnet.gov/expapi/verbs", "http://adlnet.gov/expapi/activities"
OTHER_WORDS = (
    "The learning record store holds another statement under this record's id. An administrator should "
    "look there; nothing was overwritten."
)
NO_LRS = "There is no xAPI interface at this address. Check the setting endpoint."
NOTHING_TO_VOID = "There is nothing in the learning record store that this correction takes back."


class XapiSettings(Strict):
    """What an administrator enters."""

    endpoint = ma.fields.String(
        required=True,
        validate=check_address,
        metadata={"help": "address of the xAPI interface, without /statements: https://lrs.example.com/xapi"},
    )
    user = ma.fields.String(
        required=True, validate=ma.validate.Length(min=1), metadata={"help": "key of the LRS account"}
    )
    password = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"secret": True, "help": "secret of the LRS account"},
    )
    home_page = ma.fields.Url(
        required=True,
        schemes={"https", "http"},
        require_tld=False,
        metadata={
            "help": "address that names your company's accounts, such as https://hr.example.com; the ids of "
            "programmes and sessions begin with it. Not to be changed later"
        },
    )
    person = ma.fields.String(
        load_default="number",
        validate=ma.validate.OneOf(["number", "email"]),
        metadata={"help": "number: people are accounts, by employee number; email: by e-mail address"},
    )
    version = ma.fields.String(
        load_default="1.0.3",
        validate=ma.validate.OneOf(["1.0.3", "2.0.0"]),
        metadata={"help": "version of xAPI that the LRS speaks"},
    )


class XapiSink:
    """A learning record store."""

    key = "xapi"
    title = "Learning record store"
    settings_schema: type[ma.Schema] = XapiSettings
    takes: frozenset[CreditKind] = EVERYTHING
    corrects = True
    batch = 50
    calls_per_minute: int | None = None

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether the LRS speaks our version, and whether it lets the account read its statements.

        Whether it may write can only be seen by writing.

        :param settings: loaded by `XapiSettings`.
        **Touches** the LRS, reading only.
        """
        client = _client(settings)
        try:
            # There is none of that day, so nobody's is read.
            body = client.get("statements", params={"limit": "1", "since": "2100-01-01T00:00:00Z"}).json()
            about = client.get("about", expect=(401, 403, 404))
            told = about.json() if about.status < 300 else None
        except (RetriableError, FatalError) as error:
            return check_failed("Account", error)
        if not (isinstance(body, dict) and isinstance(body.get("statements"), list)):
            return [CheckResult("Account", ok=False, advice=NO_LRS)]
        versions = told.get("version") if isinstance(told, dict) else None
        wanted = settings["version"].rpartition(".")[0]
        # An LRS that does not say what it speaks is not asked again.
        speaks = not versions or any(str(one).startswith(wanted) for one in versions)
        advice = (
            f"xAPI {settings['version']}" if speaks else "The LRS speaks another. Change the setting version."
        )
        return [
            CheckResult("Account", ok=True, advice="Statements can be read."),
            CheckResult("Version", ok=speaks, advice=advice),
        ]

    def deliver(
        self, settings: Mapping[str, Any], records: Sequence[CreditRecord], now: datetime
    ) -> Sequence[SinkAnswer]:
        """Post statements. **Touches** the LRS."""
        del now
        client, answers = _client(settings), dict[str, SinkAnswer]()
        known = list[CreditRecord]()
        for record in records:
            problem = _problem(record, settings)
            if problem is None:
                known.append(record)
            else:
                answers[record.id] = problem
        for part in batches(known):
            told = _send(client, [make_statement(record, settings) for record in part])
            answers |= {record.id: answer for record, answer in zip(part, told, strict=True)}
            if any(answer.outcome == "retry" for answer in told):
                # What comes after may take back what did not arrive.
                break
        late = SinkAnswer(outcome="retry", message_for_user=DOWN)
        return [answers.get(record.id, late) for record in records]


def _problem(record: CreditRecord, settings: Mapping[str, Any]) -> SinkAnswer | None:
    if record.kind in TAKES_BACK:
        if record.reverses is None:
            return SinkAnswer(outcome="needs_human", message_for_user=NOTHING_TO_VOID)
        return None
    name = name_person(record, settings)
    return name if isinstance(name, SinkAnswer) else None


def make_statement(record: CreditRecord, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make the statement of a record: the same each time.

    Ids of the session and of the pairing are made anew for each person, so that nobody can tell from them
    who met whom.

    **Touches** pure.
    """
    home = settings["home_page"].rstrip("/")
    statement: dict[str, Any] = {"id": record.id, "timestamp": _moment(record.ended_at)}
    if record.kind in TAKES_BACK:
        # About a statement, not about a person.
        return statement | {
            "actor": {"objectType": "Agent", "account": {"homePage": home, "name": "rmplugin"}},
            "verb": _verb(record, home),
            "object": {"objectType": "StatementRef", "id": record.reverses},
            "timestamp": _moment(record.written_at),
        }
    programme = _activity(
        f"{home}/programmes/{record.programme_id}", "course", {"und": record.programme_name}
    )
    meeting = record.session_id is not None and record.kind != "completion"
    object_ = programme
    context: dict[str, Any] = {"extensions": {f"{home}/xapi/role": record.role}}
    if meeting:
        name = f"{home}/sessions/{_own(record.session_id, record)}"
        object_ = _activity(name, "meeting", {"en": "Mentoring session", "de": "Mentoring-Treffen"})
        context["contextActivities"] = {"parent": [programme]}
    if record.pairing_id is not None:
        context["registration"] = _own(record.pairing_id, record)
    return statement | {
        "actor": _actor(record, settings, home),
        "verb": _verb(record, home),
        "object": object_,
        "result": _result(record, home),
        "context": context,
    }


def _own(shared: str | None, record: CreditRecord) -> str:
    return str(uuid.uuid5(uuid.UUID(shared), record.person_id))


def _actor(record: CreditRecord, settings: Mapping[str, Any], home: str) -> dict[str, Any]:
    if settings["person"] == "email":
        return {"objectType": "Agent", "mbox": f"mailto:{record.email}"}
    return {"objectType": "Agent", "account": {"homePage": home, "name": record.employee_number}}


def _verb(record: CreditRecord, home: str) -> dict[str, Any]:
    word = VERBS.get(record.kind)
    if word is None:
        return {"id": f"{home}/xapi/verbs/adjusted", "display": {"en": "adjusted", "de": "berichtigte"}}
    return {"id": f"{VERB}/{word}", "display": {"en": word}}


def _activity(name: str, kind: str, words: Mapping[str, str]) -> dict[str, Any]:
    definition = {"type": f"{ACTIVITY}/{kind}", "name": dict(words)}
    return {"objectType": "Activity", "id": name, "definition": definition}


def _result(record: CreditRecord, home: str) -> dict[str, Any]:
    credit = {
        "unit": record.unit,
        "hundredths": record.amount_hundredths,
        "minutes": record.minutes,
        "policy": record.policy,
    }
    result: dict[str, Any] = {"extensions": {f"{home}/xapi/credit": credit}}
    if record.minutes > 0:
        result["duration"] = f"PT{record.minutes}M"
    if record.kind == "completion":
        result["completion"] = True
    return result


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _client(settings: Mapping[str, Any]) -> http.Client:
    return http.Client(
        SERVICE,
        settings["endpoint"],
        {"X-Experience-API-Version": settings["version"], "Accept": "application/json"},
        auth=(settings["user"], settings["password"]),
        # The core tries again, and may then send other records first.
        limits=http.Limits(seconds=60, tries=1),
    )


def _send(client: http.Client, statements: Sequence[dict[str, Any]]) -> list[SinkAnswer]:
    """Post statements together; when the LRS refuses them, one by one, so that one costs no other.

    An LRS takes all of a request or nothing of it. **Source** xAPI 1.0.3, part 3, section 2.1.2.
    """
    try:
        reply = client.post("statements", json=list(statements), expect=(400, 409, 413))
        if reply.status < 300:
            _check_taken(reply, statements)
            return [_delivered(one, reply.status) for one in statements]
        if len(statements) == 1:
            return [_compare(client, statements[0]) if reply.status == 409 else _refused(reply.status)]
    except (RetriableError, FatalError) as error:
        return [answer_of(error)] * len(statements)
    answers = list[SinkAnswer]()
    for one in statements:
        answers += _send(client, [one])
        if answers[-1].outcome == "retry":
            answers += answers[-1:] * (len(statements) - len(answers))
            break
    return answers


def _check_taken(reply: http.Reply, statements: Sequence[dict[str, Any]]) -> None:
    """Make sure that the answer is an LRS's own: ids of ours; some leave out those that they had.

    :raises RetriableError: it is something else, for example a page that asks to sign in.
    """
    told, ids = reply.json(), [one["id"] for one in statements]
    if told is None and reply.status == 204:
        return
    if not isinstance(told, list) or not all(one in ids for one in told):
        raise reply.broken("did not answer with the statements' ids")


def _delivered(statement: Mapping[str, Any], status: int) -> SinkAnswer:
    return SinkAnswer(outcome="delivered", status=status, remote_ref=statement["id"])


def _refused(status: int) -> SinkAnswer:
    return SinkAnswer(outcome="needs_human", message_for_user=REFUSED, status=status)


def _compare(client: http.Client, statement: Mapping[str, Any]) -> SinkAnswer:
    """Find out whether a statement that the LRS calls a conflict is there already, voided or not."""
    for name in ("statementId", "voidedStatementId"):
        reply = client.get("statements", params={name: statement["id"]}, expect=(404,))
        body = reply.json() if reply.status < 300 else None
        # Ralph answers with a list, as if many had been asked for.
        found = body.get("statements", [body]) if isinstance(body, dict) else ()
        for theirs in found:
            if theirs.get("id") != statement["id"]:
                continue
            if holds(theirs, statement):
                return _delivered(statement, 409)
            return SinkAnswer(outcome="needs_human", message_for_user=OTHER_WORDS, status=409)
    return SinkAnswer(outcome="retry", message_for_user=DOWN, status=409)


def holds(theirs: Any, ours: Any) -> bool:
    """Tell whether all that we said stands in what the LRS holds, to which it adds of its own.

    **Source** xAPI 1.0.3, part 2, section 2.3.2 (statement comparison). **Touches** pure.
    """
    if isinstance(ours, Mapping):
        return isinstance(theirs, Mapping) and all(
            holds(theirs.get(name), value) or (name == "objectType" and name not in theirs)
            for name, value in ours.items()
        )
    if isinstance(ours, list):
        return (
            isinstance(theirs, list)
            and len(theirs) == len(ours)
            and all(holds(one, other) for one, other in zip(theirs, ours, strict=True))
        )
    if isinstance(ours, str) and ours.endswith("Z") and isinstance(theirs, str):
        return _parsed(theirs) == _parsed(ours)
    return bool(theirs == ours)


def _parsed(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text


@hookimpl
def rm_register_completion_sinks() -> Sequence[CreditSink]:
    """Bring the LRS."""
    return (XapiSink(),)

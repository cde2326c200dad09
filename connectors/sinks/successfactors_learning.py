"""External learning events in SAP SuccessFactors Learning.

Its interface only adds: it changes, deletes and reads back nothing, and takes the same event twice as two.
A record is therefore sent only while it is sure that SuccessFactors does not have it; else a person looks.

**Source** SAP KBA 2421887 (the events), 2381980 and 2292981 (10 in a call, 100 calls a minute, no updates),
2536556 (of a call with good and bad records the good ones are kept).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import marshmallow as ma

from connectors.events import EVERYTHING, NO_NUMBER, REFUSED, answer_of, check_failed
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
    shapes,
)

SERVICE = "SuccessFactors Learning"
EVENTS = "learning/odatav4/public/admin/learningevent-service/v1"
SIGN_IN = "learning/oauth-api/rest/v1/token"
# It did not take the call up, and says so; after anything else that went wrong it may have.
NOT_TAKEN = (429, 503)
UNSURE = (
    "It is not known whether SuccessFactors has this record: its interface cannot be asked. Look in the "
    "person's learning history. Send it again only if it is not there."
)
TAKES_AWAY = "SuccessFactors takes no credit away. Correct it by hand in the person's learning history."
SOME_REFUSED = (
    "SuccessFactors kept some records of this call and refused others, without saying which. Look in the "
    "person's learning history. Send it again only if it is not there."
)


class LearningSettings(Strict):
    """What an administrator enters."""

    url = ma.fields.String(
        required=True,
        validate=check_address,
        metadata={"help": "address of SuccessFactors Learning, such as https://acme.plateau.com"},
    )
    company = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "company ID of Learning, as written"},
    )
    user = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "ID of an administrator in Learning who may record learning events"},
    )
    client_id = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "client ID of the OAuth token server"},
    )
    client_secret = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"secret": True, "help": "client secret of the OAuth token server"},
    )


class LearningSink:
    """The learning history of SuccessFactors."""

    key = "successfactors"
    title = "SAP SuccessFactors Learning"
    settings_schema: type[ma.Schema] = LearningSettings
    takes: frozenset[CreditKind] = EVERYTHING
    # A person is asked to take it back by hand.
    corrects = False
    batch = 10
    calls_per_minute: int | None = 100

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether a token is given, and whether the interface for learning events can be reached with it.

        :param settings: loaded by `LearningSettings`.
        **Touches** SuccessFactors, reading only.
        """
        client = _client(settings)
        try:
            headers = _authorised(settings)
        except (RetriableError, FatalError) as error:
            return check_failed("Account", error)
        results = [CheckResult("Account", ok=True, advice="SuccessFactors gives a token.")]
        try:
            document = client.get(
                f"{EVENTS}/$metadata", headers={**headers, "Accept": "application/xml"}
            ).body
        except (RetriableError, FatalError) as error:
            return results + check_failed("Learning events", error)
        found = b"externallearningevent" in document.lower()
        advice = (
            "Learning events can be recorded." if found else "Give the user the rights for learning events."
        )
        return [*results, CheckResult("Learning events", ok=found, advice=advice)]

    def deliver(
        self, settings: Mapping[str, Any], records: Sequence[CreditRecord], now: datetime
    ) -> Sequence[SinkAnswer]:
        """Add events. **Touches** SuccessFactors."""
        del now
        answers = {record.id: problem for record in records if (problem := _problem(record)) is not None}
        to_send = [record for record in records if record.id not in answers]
        if to_send:
            told = _send(settings, to_send)
            answers |= {record.id: answer for record, answer in zip(to_send, told, strict=True)}
        return [answers[record.id] for record in records]


def _problem(record: CreditRecord) -> SinkAnswer | None:
    """Say why a record must not be sent; None when it can be."""
    if record.unanswered:
        return _unsure(UNSURE)
    if record.minutes < 0 or record.amount_hundredths < 0:
        return SinkAnswer(outcome="needs_human", message_for_user=TAKES_AWAY)
    if not record.employee_number:
        return SinkAnswer(outcome="blocked", message_for_user=NO_NUMBER)
    return None


def make_event(record: CreditRecord) -> dict[str, Any]:
    """Make the event of a record. A completion brings no hours: the sessions brought them.

    Who taught is left empty: that would name the partner.

    **Touches** pure.
    """
    event = {
        "description": record.programme_name,
        "studentID": record.employee_number,
        "completionDate": int(record.ended_at.timestamp() * 1000),
        "completionTimeZoneID": record.time_zone,
        "comments": f"rmplugin {record.id}",
    }
    if record.kind == "completion":
        return event | {"grade": "Completed"}
    hours = shapes.HOURS.get(record.unit, "creditHours")
    return event | {"totalHours": round(record.minutes / 60, 2), hours: record.amount_hundredths / 100}


def _client(settings: Mapping[str, Any], auth: tuple[str, str] | None = None) -> http.Client:
    # Never a second try of its own: the event would be there twice.
    return http.Client(
        SERVICE,
        settings["url"],
        {"Accept": "application/json"},
        auth=auth,
        limits=http.Limits(seconds=120, tries=1, read_seconds=60),
    )


def _authorised(settings: Mapping[str, Any]) -> dict[str, str]:
    """Fetch a token and give the header that carries it.

    :raises FatalError: client, secret, company or user are refused.
    :raises RetriableError: no or a broken answer.
    """
    scope = {
        "userId": settings["user"],
        "companyId": settings["company"],
        "userType": "admin",
        "resourceType": "learning_public_api",
    }
    client = _client(settings, (settings["client_id"], settings["client_secret"]))
    asked = {"grant_type": "client_credentials", "scope": scope}
    reply = client.post(SIGN_IN, json=asked, expect=(400, 401))
    if reply.status >= 400:
        raise reply.refused(f"{SERVICE} refused the client, its secret, the company or the user. Check them.")
    body = reply.json()
    token = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise reply.broken("gave no access token")
    return {"Authorization": f"Bearer {token}"}


def _send(settings: Mapping[str, Any], records: Sequence[CreditRecord]) -> list[SinkAnswer]:
    try:
        headers = _authorised(settings)
    except (RetriableError, FatalError) as error:
        return [answer_of(error)] * len(records)
    body = {"externalLearningEvents": [make_event(record) for record in records]}
    try:
        reply = _client(settings).post(f"{EVENTS}/ExternalLearningEvents", json=body, headers=headers)
        return _judge(reply.json(), reply.status, records)
    except FatalError as error:
        return [answer_of(error)] * len(records)
    except RetriableError as error:
        if error.remote_status in NOT_TAKEN:
            return [answer_of(error)] * len(records)
        unsure = SinkAnswer(
            outcome="needs_human", message_for_user=UNSURE, status=error.remote_status, unsure=True
        )
        return [unsure] * len(records)


def _judge(body: Any, status: int, records: Sequence[CreditRecord]) -> list[SinkAnswer]:
    """Find out of an answer which records were kept: it is a success even when some were refused."""
    good = SinkAnswer(outcome="delivered", status=status)
    bad = SinkAnswer(outcome="needs_human", message_for_user=REFUSED, status=status)
    if not any(_faults(body)):
        return [good] * len(records)
    rows = body.get("value") if isinstance(body, dict) else body
    if isinstance(rows, list) and len(rows) == len(records):
        return [bad if any(_faults(row)) else good for row in rows]
    if len(records) == 1:
        return [bad]
    return [_unsure(SOME_REFUSED, status)] * len(records)


def _unsure(sentence: str, status: int | None = None) -> SinkAnswer:
    return SinkAnswer(outcome="needs_human", message_for_user=sentence, status=status, unsure=True)


def _faults(value: Any) -> Iterator[bool]:
    """Go through an answer and tell of each part whether it says that something failed."""
    if isinstance(value, list):
        for one in value:
            yield from _faults(one)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if "error" in name.lower():
                yield bool(one)
            elif name.lower() in ("success", "status"):
                yield str(one).lower() in ("false", "failure", "failed", "error")
            else:
                yield from _faults(one)


@hookimpl
def rm_register_completion_sinks() -> Sequence[CreditSink]:
    """Bring SuccessFactors Learning."""
    return (LearningSink(),)

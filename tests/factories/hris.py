"""An HR system of the tests' own: it lists people, tells what changed, and signs its notices."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta

import marshmallow as ma

from rmplugin.api import (
    Capabilities,
    CheckResult,
    EmployeeRecord,
    FatalError,
    InputError,
    NotAllowedError,
    RosterPage,
    WebhookNotice,
    hookimpl,
)


class DeepSettings(ma.Schema):
    name = ma.fields.String()
    email = ma.fields.String()


class StaffSettings(ma.Schema):
    """One field of every kind that a form is made for."""

    url = ma.fields.String(required=True, metadata={"help": "address of the HR system"})
    secret = ma.fields.String(required=True, metadata={"secret": True, "help": "signs the notices"})
    region = ma.fields.String(load_default="eu", validate=ma.validate.OneOf(["eu", "us"]))
    page_size = ma.fields.Integer(load_default=100, validate=ma.validate.Range(1, 500))
    leavers = ma.fields.Boolean(load_default=True)
    private_key = ma.fields.String(metadata={"secret": True, "lines": True})
    companies = ma.fields.List(ma.fields.String())
    fields = ma.fields.Nested(DeepSettings)
    words = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())


def record(key, **fields):
    given = {"display_name": f"Person {key}", "email": f"{key}@example.com", "grade": "G1"} | fields
    return EmployeeRecord(source_key=key, ref=f"person {key}", **given)


class Staff:
    """The HR system and its connector in one.

    :ivar people: key -> record.
    :ivar broken: every reading fails, as after a password was changed.
    :ivar fetched: keys that were asked for one by one, one list per call.
    """

    key, title, settings_schema = "staff", "Staff", StaffSettings
    capabilities = Capabilities(incremental=True, deletes=True, webhooks=True)

    def __init__(self) -> None:
        self.people: dict[str, EmployeeRecord] = {}
        self.broken = False
        self.reads: list[str | None] = []
        self.fetched: list[list[str]] = []

    def hire(self, *keys: str, **fields) -> None:
        self.people |= {key: record(key, **fields) for key in keys}

    def check(self, settings):
        if self.broken:
            raise RuntimeError("a fault of the plug-in")
        return [CheckResult("Sign-in", ok=settings["secret"] == "right", advice="The secret must be right.")]

    def read(self, _settings, cursor):
        self.reads.append(cursor)
        self._answer()
        everybody = list(self.people.values()) if cursor is None else []
        yield RosterPage(everybody, cursor="1", total=len(everybody))

    def read_notice(self, settings, headers, body, now):
        given = {name.lower(): value for name, value in headers.items()}
        stamp = given.get("x-staff-time", "")
        if not hmac.compare_digest(signature(settings["secret"], stamp, body), given.get("x-staff-sign", "")):
            raise NotAllowedError("notice_refused", "The notice is not from Staff.")
        if abs(now.timestamp() - int(stamp)) > timedelta(minutes=5).total_seconds():
            raise NotAllowedError("notice_old", "The notice is too old.")
        try:
            said = json.loads(body)
            keys = tuple(said.get("people", ()))
            return WebhookNotice(notice_id=said["id"], source_keys=keys, everybody=not keys)
        except (ValueError, KeyError) as error:
            raise InputError("notice_unclear", "The notice makes no sense.") from error

    def fetch(self, _settings, source_keys):
        self.fetched.append(list(source_keys))
        self._answer()
        known = [self.people[key] for key in source_keys if key in self.people]
        yield RosterPage(known, gone=[key for key in source_keys if key not in self.people])

    def _answer(self):
        if self.broken:
            raise FatalError("Staff", "GET", "", 401, "Staff refused the sign-in. Enter a new secret.")

    @hookimpl
    def rm_register_hris_connectors(self):
        return [self]


def signature(secret: str, stamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), stamp.encode() + body, hashlib.sha256).hexdigest()

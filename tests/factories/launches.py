"""Launches of the whole application from the strict platform of `tests.fakes.lti_platform`."""

from __future__ import annotations

import re
from datetime import date

from rmplugin.people.models import Person
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import PlatformValues, add_platform
from tests.fakes.lti_platform import CLAIM, LtiPlatform

TOOL = "http://localhost:5000"
ROLES = CLAIM + "roles"
CUSTOM = CLAIM + "custom"
TARGET = CLAIM + "target_link_uri"
MESSAGE = CLAIM + "message_type"
CONTEXT = CLAIM + "context"
AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"


def register(database, tenant, platform: LtiPlatform, now, *, deployments=("36",), name="lms"):
    with database.transaction(tenant.id) as db:
        return add_platform(
            db,
            PlatformValues(
                name=name,
                issuer=platform.issuer,
                client_id=platform.client_id,
                auth_url=platform.base + "/auth",
                token_url=platform.base + "/token",
                jwks_url=platform.base + "/jwks",
                deployment_ids=deployments,
            ),
            now,
        )


def hire(database, tenant, now, **fields) -> Person:
    """Put one person into the roster of an account named "hr"."""
    from sqlalchemy import select

    with database.transaction(tenant.id) as db:
        account = db.scalars(select(HrAccount).where(HrAccount.name == "hr")).one_or_none()
        if account is None:
            account = HrAccount(name="hr", connector="csv_file", settings={}, grade_ranks={}, created_at=now)
            db.add(account)
            db.flush()
        number = fields.get("employee_number") or fields.get("email") or fields["display_name"]
        values = {
            "account_id": account.id,
            "source_key": number,
            "display_name": "Ada Byron",
            "status": "active",
            "hire_date": date(2025, 1, 1),
            "languages": [],
            "row_hash": "",
            "seen_at": now,
            "created_at": now,
            "updated_at": now,
            **fields,
        }
        if values.get("email"):
            values["email_folded"] = values["email"].casefold()
        person = Person(**values)
        db.add(person)
    return person


class Launcher:
    """Launches through one client; ``answer`` is the last page."""

    def __init__(self, app, platform: LtiPlatform) -> None:
        self.app = app
        self.platform = platform

    def begin(self, client, **changes):
        request = self.platform.login_request(TOOL + "/lti/launch", **changes)
        answer = client.get("/lti/login", query_string=request, base_url=TOOL)
        assert answer.status_code == 302, answer.get_data(as_text=True)
        return self.platform.read_authorisation(answer.location)

    def post(self, client, query, **changes):
        claims = self.platform.claims(query, **{TARGET: TOOL + "/lti/launch", **changes})
        claims = {name: value for name, value in claims.items() if value is not None}
        form = {"state": query["state"], "id_token": self.platform.id_token(claims)}
        return client.post("/lti/launch", data=form, base_url=TOOL)

    def launch(self, client=None, **changes):
        """Go the whole way; the answer is the first page, or the refusal."""
        client = client or self.app.test_client()
        answer = self.post(client, self.begin(client), **changes)
        if answer.status_code == 303:
            answer = client.get(answer.location, base_url=TOOL)
        return answer


def token_of(page: str) -> str:
    """Give the session token that a page carries."""
    found = re.search(r'X-Rm-Session": "([0-9a-f]+)"', page)
    assert found, page
    return found.group(1)

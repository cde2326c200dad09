"""An identity provider that pushes people to the tool."""

import json
from types import SimpleNamespace

from sqlalchemy import select

from rmplugin.jobs import work_outbox
from rmplugin.people.models import Person, RosterRun
from rmplugin.people.tasks import sync_roster
from rmplugin.scim.operations import issue_token
from rmplugin.scim.schemas import ENTERPRISE
from rmplugin.tenants.models import HrAccount

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
CORE_USER = "urn:ietf:params:scim:schemas:core:2.0:User"


def user(number, **more):
    """Make a user as Entra ID sends one."""
    return {
        "schemas": [CORE_USER, ENTERPRISE],
        "externalId": f"object-{number}",
        "userName": f"u{number}@example.com",
        "active": True,
        "displayName": f"User {number}",
        "name": {"givenName": "User", "familyName": f"No{number}", "formatted": f"User {number}"},
        "emails": [{"type": "work", "value": f"u{number}@example.com", "primary": True}],
        "title": "Engineer",
        ENTERPRISE: {"employeeNumber": str(number), "department": "R&D"},
        **more,
    }


class Provider:
    """Sends requests with the token of an HR account."""

    def __init__(self, app, runtime, tenant, clock, name="entra"):
        self.app, self.runtime, self.tenant, self.clock, self.name = app, runtime, tenant, clock, name
        self.token = self.new_token()

    def new_token(self):
        connector = self.runtime.plugins.connector("scim_server")
        with self.runtime.database.transaction(self.tenant.id) as db:
            return issue_token(db, self.name, connector, self.runtime.database.secrets, self.clock.now)

    def ask(self, method, path, body=None, *, token=None, query=None, **headers):
        """Send one request; give its status, decoded body and headers."""
        answer = self.app.test_client().open(
            f"/scim/v2{path}",
            method=method,
            query_string=query,
            data=body if isinstance(body, str | bytes | None) else json.dumps(body),
            content_type="application/scim+json",
            headers={"Authorization": f"Bearer {token or self.token}"}
            | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        text = answer.get_data(as_text=True)
        found = json.loads(text) if text else None
        return SimpleNamespace(status=answer.status_code, body=found, headers=answer.headers)

    def add(self, number, **more):
        answer = self.ask("POST", "/Users", user(number, **more))
        assert answer.status == 201, answer.body
        return answer.body

    def patch(self, key, *operations, kind="Users", **headers):
        return self.ask(
            "PATCH", f"/{kind}/{key}", {"schemas": [PATCH_OP], "Operations": list(operations)}, **headers
        )

    def find(self, condition, kind="Users"):
        return self.ask("GET", f"/{kind}", query={"filter": condition})

    def settle(self):
        """Let the worker take in what was sent."""
        self.clock.forward(minutes=1)
        work_outbox(self.runtime)
        work_outbox(self.runtime, slow=True)

    def sync(self, **how):
        self.clock.forward(minutes=1)
        at = self.runtime
        return sync_roster(at.database, at.plugins, self.tenant.id, self.name, now=self.clock.now, **how)

    def accept(self):
        """Accept the first run, which is always held."""
        self.settle()
        return self.sync(accept_shrink=True)

    def people(self):
        """Give the account's people by employee number."""
        with self.runtime.database.transaction(self.tenant.id, write=False) as db:
            mine = select(Person).join(HrAccount, HrAccount.id == Person.account_id)
            return {p.employee_number: p for p in db.scalars(mine.where(HrAccount.name == self.name))}

    def runs(self):
        with self.runtime.database.transaction(self.tenant.id, write=False) as db:
            return list(db.scalars(select(RosterRun).order_by(RosterRun.started_at)))

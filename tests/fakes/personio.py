"""A stand-in for Personio with a memory: tokens, the employee list of v1, persons and employments of v2.

Written from the vendor's documents and from what users measured: pages are forced, totals move, and a day
comes as a moment.
"""

import json
import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

from werkzeug.wrappers import Request, Response

from rmplugin.testing import FaultyServer

CLIENT_ID, SECRET, WEBHOOK_TOKEN = "papi-client", "papi-secret", "Bearer personio-webhook"


class Personio:
    """The stand-in.

    :ivar people: id -> attributes as v1 names them, without their wrapping; "updated" says when.
    :ivar jobs: id -> employments as v2 writes them.
    :ivar allowed: attributes that the credentials may read.
    :ivar page_most: rows of a page, however many were asked for.
    :ivar after_page: called after each page of people.
    :ivar tokens: tokens that are good.
    """

    def __init__(self, interface="v1"):
        self.people, self.jobs = {}, {}
        self.allowed = None
        self.page_most, self.after_page = 100, lambda: None
        self.tokens, self.issued, self.closed = set(), 0, False
        self.server = FaultyServer(self, spare="/v2/auth")
        self.settings = {
            "client_id": CLIENT_ID, "client_secret": SECRET, "interface": interface,
            "webhook_token": WEBHOOK_TOKEN, "url": self.server.url,
        }  # fmt: skip

    def put(self, key, at=None, jobs=None, **attributes):
        plain = {
            "email": None, "first_name": "Ada", "last_name": f"L{key}", "preferred_name": None,
            "status": "active", "position": None, "department": None, "office": None, "subcompany": None,
            "cost_centers": [], "supervisor": None, "employment_type": "internal", "hire_date": None,
            "termination_date": None, "birthday": "1990-01-01T00:00:00Z", "fix_salary": 4200,
            "gender": "female",
        }  # fmt: skip
        updated = at or datetime.now(UTC)
        # Whoever is updated moves to the end of the list.
        self.people[key] = {
            **plain,
            **self.people.pop(key, {}),
            **attributes,
            "id": int(key),
            "updated": updated,
        }
        self.jobs[key] = jobs if jobs is not None else self.jobs.get(key, [job(key)])

    def delete(self, key):
        del self.people[key], self.jobs[key]

    def calls(self, path):
        """Give the queries of a path so far."""
        return [parse_qs(a.query) for a in self.server.asked if a.path == path]

    def __call__(self, environ, start_response):
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request):
        if request.path == "/v2/auth/token" and request.method == "POST":
            return self._token(request.form)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return refused(401)
        if self.closed:
            return refused(403)
        lists = {"/v1/company/employees": self._list, "/v2/persons": self._persons}
        return lists.get(request.path, self._one)(request)

    def _one(self, request):
        found = re.fullmatch(r"/(v1/company/employees|v2/persons)/(\d+)(/employments)?", request.path)
        if not found or found[2] not in self.people:
            return refused(404)
        if found[3]:
            return self._linked(request, self.jobs[found[2]])
        v1 = {"success": True, "data": self._employee(found[2], None)}
        return answer(self._person(found[2]) if found[1] == "v2/persons" else v1)

    def _token(self, form):
        wanted = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET}
        if form.to_dict() != wanted:
            return refused(401)
        self.issued += 1
        self.tokens.add(f"papi-{self.issued}")
        return answer({"access_token": f"papi-{self.issued}", "expires_in": 86400, "token_type": "Bearer"})

    def _list(self, request):
        args = request.args
        since = args.get("updated_since")
        start = (
            datetime.fromisoformat(since).replace(tzinfo=UTC) if since else datetime.min.replace(tzinfo=UTC)
        )
        keys = [key for key, person in self.people.items() if person["updated"] >= start]
        offset, size = int(args.get("offset", 0)), min(int(args.get("limit", 50)), 100, self.page_most)
        wanted = args.getlist("attributes[]")
        given = answer({
            "success": True,
            "metadata": {
                "total_elements": len(keys), "current_page": offset // size,
                "total_pages": -(-len(keys) // size),
            },
            "offset": offset, "limit": size,
            "data": [self._employee(key, wanted) for key in keys[offset : offset + size]],
        })  # fmt: skip
        self.after_page()
        return given

    def _employee(self, key, wanted):
        person = self.people[key]
        names = [n for n in person if n != "updated" and (not wanted or n in wanted or n == "id")]
        return {
            "type": "Employee",
            "attributes": {
                n: {"label": n.title(), "value": person[n], "type": "standard", "universal_id": n}
                for n in names
                if self.allowed is None or n in self.allowed
            },
        }

    def _persons(self, request):
        since = request.args.get("updated_at.gt")
        start = datetime.fromisoformat(since) if since else datetime.min.replace(tzinfo=UTC)
        keys = [key for key, person in self.people.items() if person["updated"] > start]
        given = self._linked(request, [self._person(key) for key in keys])
        self.after_page()
        return given

    def _person(self, key):
        person = self.people[key]
        names = ("email", "first_name", "last_name", "preferred_name")
        return {
            "id": key,
            **{name: person[name] for name in names if self.allowed is None or name in self.allowed},
            "status": "INACTIVE" if person["status"] == "inactive" else "ACTIVE",
            "gender": "FEMALE",
            "updated_at": person["updated"].isoformat(),
            "custom_attributes": [{"id": "dynamic_1", "label": "Salary", "type": "int", "value": 4200}],
            "employments": [{"id": row["id"]} for row in self.jobs[key]],
        }

    def _linked(self, request, rows):
        asked = int(request.args.get("limit", 10))
        if not 1 <= asked <= 50:
            return refused(400)
        start, size = int(request.args.get("cursor", 0)), min(asked, self.page_most)
        links = {}
        if start + size < len(rows):
            query = {**request.args.to_dict(), "cursor": start + size}
            links["next"] = {"href": f"{self.server.url}{request.path}?{urlencode(query)}"}
        return answer({"_data": rows[start : start + size], "_meta": {"links": links}})


def job(key, **values):
    """Write an employment as v2 does; what it names by id has no name."""
    return {
        "id": f"e{key}", "status": "ACTIVE", "position": {"title": "Engineer"}, "supervisor": None,
        "employment_start_date": "2020-01-01", "employment_end_date": None, "type": "INTERNAL",
        "office": {"id": "3"}, "org_units": [{"type": "department", "id": "5"}], "legal_entity": {"id": "1"},
        "weekly_working_hours": 40, "full_time_weekly_working_hours": 40, "termination": None, **values,
    }  # fmt: skip


def wrapped(kind, **attributes):
    """Write an object of v1 in a person's attribute."""
    return {"type": kind, "attributes": attributes}


def labelled(value):
    return {"label": "Label", "value": value, "type": "standard", "universal_id": "x"}


def answer(body, status=200):
    return Response(json.dumps(body), status, {"Content-Type": "application/json"})


def refused(status):
    errors = [{"title": "Refused", "detail": "Refused.", "type": None, "_meta": {}}]
    return answer({"personio_trace_id": "t", "timestamp": "2026-01-01T00:00:00Z", "errors": errors}, status)

"""Stand-ins for two REST interfaces, written from their documented shapes, with state, paging and refusals.

`Horilla` numbers pages of 20 and tells more of one person at a time, private data among it. `Okta` names the
next page in a Link header, hides closed accounts unless their status is asked for, and lists changes.
"""

import json
import re
from datetime import UTC, datetime

from werkzeug.wrappers import Request, Response

TOKEN = "quill-token"
PRIVATE = {"basic_salary": 98765, "dob": "1815-12-10", "bank_details": {"account_number": "DE0098765"}}
EMPTY = ("employeeNumber", "title", "department", "division", "costCenter", "city", "countryCode", "timezone")


class Stand:
    """A WSGI application with people.

    :ivar people: canonical fields and "changed" per person, in their order.
    :ivar instead: answers to give before any other, each a function that makes one.
    :ivar spoilt: nothing is where it was.
    """

    def __init__(self):
        self.people = []
        self.instead = []
        self.spoilt = False

    def fill(self, people):
        """Make these the people; whoever is the same as before was not changed."""
        before = {p["source_key"]: p for p in self.people}
        self.people = []
        for person in people:
            old = before.get(person["source_key"], {})
            same = {**old, "changed": None} == {**person, "changed": None}
            self.people.append({**person, "changed": old["changed"] if same else datetime.now(UTC)})

    def __call__(self, environ, start_response):
        request = Request(environ)
        if self.instead:
            response = self.instead.pop(0)()
        elif self.spoilt:
            response = answer({"detail": "Not found."}, 404)
        else:
            response = self.answer(request)
        return response(environ, start_response)


def answer(body, status=200, **headers):
    return Response(json.dumps(body), status, {"Content-Type": "application/json", **headers})


def hired(person):
    """Write the day of hire; a bad one is a date that no system writes."""
    if person.get("bad"):
        return "some day"
    return person["hire_date"].isoformat() if person.get("hire_date") else None


class Horilla(Stand):
    """The employees of Horilla's REST interface."""

    def answer(self, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return answer({"detail": "Authentication credentials were not provided."}, 403)
        if request.path == "/api/employee/list/employees/":
            return self._list(request)
        found = re.fullmatch(
            r"/api/employee/(employees|employee-work-information)/(\d+)/", request.path, re.ASCII
        )
        person = found and next(
            (p for p in self.people if int(p["source_key"]) == int(found[2]) % 100000), None
        )
        if person is None:
            return answer({"detail": "Not found."}, 404)
        if found[1] == "employees":
            key = f"B{person['source_key']}"
            return answer({"badge_id": key, "department_name": "Ink", "is_active": True, **PRIVATE})
        work = {
            "email": person.get("email"),
            "location": "",
            "reporting_manager_id": person.get("manager"),
            "employee_type_name": "Permanent",
            "date_joining": hired(person),
            "contract_end_date": None,
        }
        return answer(work | PRIVATE)

    def _list(self, request):
        page = int(request.args.get("page", 1))
        shown = self.people[page * 20 - 20 : page * 20]
        if not shown and page > 1:
            return answer({"detail": "Invalid page."}, 404)
        rows = [
            {
                "id": int(p["source_key"]),
                "employee_first_name": p.get("given_name"),
                "employee_last_name": p.get("family_name"),
                "email": "private@home.example",
                "job_position_name": "Clerk",
                "employee_work_info_id": 100000 + int(p["source_key"]),
            }
            for p in shown
        ]
        more = f"{request.base_url}?page={page + 1}" if page * 20 < len(self.people) else None
        return answer({"count": len(self.people), "next": more, "previous": None, "results": rows})


class Okta(Stand):
    """The users of Okta's management interface.

    :ivar most: of a page, whatever was asked for.
    """

    most = 50

    def answer(self, request):
        if request.headers.get("Authorization") != f"SSWS {TOKEN}":
            return answer({"errorCode": "E0000011", "errorSummary": "Invalid token provided"}, 401)
        if request.path != "/api/v1/users":
            return answer({"errorCode": "E0000022"}, 404)
        wanted = request.args.get("filter", "")
        statuses = set(re.findall(r'status eq "(\w+)"', wanted))
        since = re.search(r'lastUpdated gt "([^"]+)"', wanted)
        moment = datetime.fromisoformat(since[1]) if since else datetime.min.replace(tzinfo=UTC)
        found = [
            p
            for p in self.people
            if p["changed"] > moment and (p.get("status", "ACTIVE") in statuses if statuses else True)
        ]
        start = int(request.args.get("after", 0))
        size = min(self.most, int(request.args.get("limit", 200)))
        links = [f'<{request.url}>; rel="self"']
        if start + size < len(found):
            asked = {**request.args, "after": start + size}
            query = "&".join(f"{name}={quoted(str(value))}" for name, value in asked.items())
            links.append(f'<{request.base_url}?{query}>; rel="next"')
        return answer([self._user(p) for p in found[start : start + size]], Link=", ".join(links))

    def _user(self, person):
        return {
            "id": person["source_key"],
            "status": person.get("status", "ACTIVE"),
            "lastUpdated": person["changed"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "profile": {
                "login": person.get("email"),
                "email": person.get("email"),
                "firstName": person.get("given_name"),
                "lastName": person.get("family_name"),
                "hireDate": hired(person),
                "managerId": None,
                **dict.fromkeys(EMPTY),
            },
        }


def quoted(text):
    return "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in text)

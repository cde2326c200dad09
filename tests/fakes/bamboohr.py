"""A stand-in for BambooHR with a memory: the employee dataset, its fields, the feed of changes.

Written from the vendor's documents: it answers what they say, refuses what they say, and orders nothing that
nobody asked it to order.
"""

import base64
import hashlib
import hmac
import json
import random
import re
from datetime import UTC, datetime

from werkzeug.wrappers import Request, Response

from rmplugin.testing import FaultyServer

API_KEY, WEBHOOK_KEY = "bamboo-api-key", "bamboo-webhook-key"
OPTIONS = {"status", "employmentStatus", "jobInformationDepartment"}
TYPES = {
    "eeid": "int",
    "firstName": "text",
    "lastName": "text",
    "preferredName": "text",
    "email": "text",
    "employeeNumber": "text",
    "jobInformationJobTitle": "options",
    "jobInformationDepartment": "options",
    "jobInformationDivision": "options",
    "jobInformationLocation": "options",
    "jobInformationReportsTo": "text",
    "supervisorEid": "int",
    "hireDate": "date",
    "terminationDate": "date",
    "employmentStatus": "options",
    "status": "options",
    # Private fields, which the connector must never ask for.
    "ssn": "govIdText",
    "dateOfBirth": "date",
    "compensationPayRate": "text",
    "maritalStatus": "options",
    "city": "text",
    "country": "text",
}


class BambooHr:
    """The stand-in. A row is what the dataset says about a person: field -> value.

    :ivar rows: id -> row.
    :ivar page_most: rows of a page, however many were asked for.
    :ivar restricted: id -> fields that the key may not see; under "" for everybody.
    :ivar unknown: fields that the catalogue does not name for this key.
    :ivar unseen: ids that the dataset does not show to this key, though they exist.
    :ivar after_page: called after each page that was given.
    :ivar bad_pages: numbers of pages that are answered with BadPage, once each.
    :ivar closed: the key may not use datasets at all.
    """

    def __init__(self):
        self.rows, self.feed = {}, {}
        self.page_most = 100
        self.restricted, self.unknown, self.unseen = {}, set(), set()
        self.after_page = lambda: None
        self.bad_pages, self.closed = set(), False
        self.server = FaultyServer(self)
        self.settings = {"url": self.server.url, "api_key": API_KEY, "webhook_key": WEBHOOK_KEY}

    def put(self, key, at=None, **row):
        action = "Updated" if key in self.rows else "Inserted"
        defaults = {"eeid": key, "firstName": "Ada", "lastName": f"L{key}", "status": "Active"}
        self.rows[key] = {**dict.fromkeys(TYPES), **defaults, **self.rows.get(key, {}), **row}
        self._note(key, action, at)

    def delete(self, key, at=None):
        del self.rows[key]
        self._note(key, "Deleted", at)

    def _note(self, key, action, at):
        moment = (at or datetime.now(UTC)).isoformat(timespec="milliseconds")
        self.feed[key] = {"id": key, "action": action, "lastChanged": moment}

    def questions(self):
        """Give the questions to the dataset so far."""
        return [json.loads(a.body) for a in self.server.asked if a.path.endswith("/data")]

    def notice(self, body, key=WEBHOOK_KEY, at=None, stamp=None):
        """Sign a notice; give its headers and body."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        stamp = stamp or str(int((at or datetime.now(UTC)).timestamp()))
        signature = hmac.new(key.encode(), raw + stamp.encode(), hashlib.sha256).hexdigest()
        return {"X-BambooHR-Timestamp": stamp, "X-BambooHR-Signature": signature}, raw

    def __call__(self, environ, start_response):
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request):
        basic = "Basic " + base64.b64encode(f"{API_KEY}:x".encode()).decode()
        if request.headers.get("Authorization") not in (basic, "Bearer bamboo-oauth-token"):
            return Response("", 401)
        if request.path == "/api/v1_2/datasets/employee/fields":
            return self._catalogue(request)
        if request.path == "/api/v2/datasets/employee/data" and request.method == "POST":
            return self._data(json.loads(request.get_data()))
        if request.path == "/api/v1/employees/changed":
            return self._changed(request.args.get("since", ""))
        if found := re.fullmatch(r"/api/v1/employees/(\d+)", request.path):
            return answer({"id": found[1]}) if found[1] in self.rows else Response("", 404)
        return Response("", 404)

    def _catalogue(self, request):
        if self.closed:
            return problem(422, "DATASET_NOT_FOUND")
        names = [name for name in TYPES if name not in self.unknown]
        size, last = 7, (len(names) - 1) // 7 + 1
        # A page past the end is the last one.
        page = min(int(request.args["page"]), last)
        fields = [
            {"name": n, "label": n.title(), "type": TYPES[n], "parentType": "page"}
            for n in names[size * (page - 1) : size * page]
        ]
        following = f"{self.server.url}{request.path}?page={page + 1}" if page < last else None
        return answer({"fields": fields, "pagination": {"total_pages": last, "next_page": following}})

    def _data(self, asked):
        if self.closed:
            return problem(404, "DATASET_NOT_FOUND")
        fields, order = asked["fields"], asked.get("orderBy", "").split()
        rows = self._chosen(asked.get("filter", ""))
        if not set(fields) <= set(TYPES) - self.unknown:
            return problem(400, "INVALID_ARGUMENT")
        if order and order[0] not in fields:
            return problem(400, "UE-1001")
        if rows is None or not 1 <= asked.get("pageSize", 100) <= 1000:
            return problem(422, "INVALID_FILTER")
        if asked["page"] in self.bad_pages:
            self.bad_pages.discard(asked["page"])
            return answer({"error": {"code": "BadPage", "message": "Somebody changed."}}, 400)
        rows.sort(key=lambda row: int(row["eeid"])) if order else random.shuffle(rows)
        size, page = min(asked.get("pageSize", 100), self.page_most), asked["page"]
        data = [self._row(row, fields) for row in rows[size * (page - 1) : size * page]]
        pages = -(-len(rows) // size)
        links = {"next": f"{self.server.url}/api/v2/datasets/employee/data?page={page + 1}"}
        meta = {"page": page, "pageSize": size, "totalPages": pages, "totalItems": len(rows)}
        given = answer({"data": data, "links": links if page < pages else {}, "meta": meta})
        self.after_page()
        return given

    def _chosen(self, wanted):
        """Give the rows of a filter; None for one that BambooHR refuses."""
        rows = [row for key, row in self.rows.items() if key not in self.unseen]
        if not wanted:
            return rows
        terms = [re.fullmatch(r"eeid eq (\d+)", term) for term in wanted.split(" or ")]
        if not all(terms):
            return None
        keys = {term[1] for term in terms}
        return [row for row in rows if row["eeid"] in keys]

    def _row(self, row, fields):
        hidden = self.restricted.get("", set()) | self.restricted.get(row["eeid"], set())
        given = {"fields": {name: "" if name in hidden else row[name] for name in fields}}
        if names := sorted(hidden & set(fields)):
            given["_restrictedFields"] = [f"employee_{name}" for name in names]
        return given

    def _changed(self, since):
        try:
            start = datetime.fromisoformat(since)
        except ValueError:
            return Response("", 400)
        found = {k: e for k, e in self.feed.items() if datetime.fromisoformat(e["lastChanged"]) >= start}
        # PHP writes an empty map as a list.
        return answer(
            {"latest": max((e["lastChanged"] for e in found.values()), default=""), "employees": found or []}
        )


def answer(body, status=200):
    return Response(json.dumps(body), status, {"Content-Type": "application/json"})


def problem(status, code):
    body = {"type": "about:blank", "title": "Refused", "status": status, "code": code, "detail": "Refused."}
    return Response(json.dumps(body), status, {"Content-Type": "application/problem+json"})

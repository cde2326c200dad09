"""A stand-in for SAP SuccessFactors' OData v2 with a memory: persons, employments, job information by days.

Written from the vendor's documents. As there, only what is selected comes and only what is expanded is more
than a link, what hangs on a person is that of today, former users come only when they are asked for, and a
snapshot lives in a session until its last page was read.
"""

import base64
import json
import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from urllib.parse import parse_qs

from werkzeug.wrappers import Request, Response

from rmplugin.testing import FaultyServer

COMPANY, USER, PASSWORD, ASSERTION = "acmeT1", "sfapi", "sf-password", "c2lnbmVk"
END = date(9999, 12, 31)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BLANK_JOB = {
    "seqNumber": "1", "jobTitle": None, "fte": None, "timezone": None, "managerId": "NO_MANAGER",
    "emplStatusNav": {"externalCode": "A", "label_en_US": "Active"}, "payGradeNav": None,
    "departmentNav": None, "divisionNav": None, "costCenterNav": None, "companyNav": None,
    "locationNav": None, "managerUserNav": None,
}  # fmt: skip


class SuccessFactors:
    """The stand-in.

    :ivar persons: personIdExternal -> what is known: OData's names, days as `date`, moments as `datetime`.
    :ivar users: userId -> user of the suite.
    :ivar page_most: rows of a page, whatever was asked.
    :ivar overlap: so many rows of a page come again on the next one.
    :ivar unknown: properties that this company does not have.
    :ivar unseen: properties that the API user may not see.
    :ivar blocked: snapshots are refused for a while.
    :ivar loses_snapshots: the cache has forgotten them.
    :ivar next_link: given instead of the right one.
    :ivar after_page: called after each page.
    """

    def __init__(self):
        self.persons, self.users = {}, {}
        self.overlap = 0
        self.page_most, self.unknown, self.unseen = 100, set(), set()
        self.blocked, self.loses_snapshots, self.next_link = False, False, None
        self.after_page = lambda: None
        self.password, self.assertion, self.tokens = PASSWORD, ASSERTION, set()
        self._snapshots, self._numbers = {}, count(1)
        self.server = FaultyServer(self, spare="/oauth")
        self.settings = {"url": self.server.url, "company": COMPANY, "user": USER, "password": PASSWORD}

    # -- people --------------------------------------------------------------------------------------------

    def put(self, key, *employments, names=("Ada", "Lovelace"), emails=(), at=None, **person):
        """Make or change a person; without employments, a plain one since 2020."""
        moment = at or datetime.now(UTC)
        self.persons[key] = {
            "personIdExternal": key,
            "lastModifiedDateTime": moment,
            "dateOfBirth": date(1990, 1, 1),
            "countryOfBirth": "GBR",
            "personalInfoNav": [
                {"firstName": names[0], "lastName": names[1], "preferredName": None, "gender": "F",
                 "maritalStatus": "8826", "nationality": "GBR", "startDate": date(2020, 1, 1), "endDate": END,
                 "lastModifiedDateTime": moment}
            ],
            "emailNav": [{**mail, "lastModifiedDateTime": moment} for mail in emails],
            "employmentNav": list(employments) or [self.employment(key, at=moment)],
            "personEmpTerminationInfoNav": {"activeEmploymentsCount": 1, "latestTerminationDate": None},
            **person,
        }  # fmt: skip
        return self.persons[key]

    def employment(self, user_id, *jobs, start=date(2020, 1, 1), end=None, at=None, **more):
        moment = at or LONG_AGO
        return {
            "userId": user_id, "startDate": start, "endDate": end, "isContingentWorker": False,
            "lastModifiedDateTime": moment,
            "userNav": {"username": f"login-{user_id}", "salary": 99999, "lastModifiedDateTime": moment},
            "jobInfoNav": [
                {**BLANK_JOB, "userId": user_id, "startDate": start, "endDate": END,
                 "lastModifiedDateTime": moment, **job}
                for job in jobs or [{}]
            ],
            **more,
        }  # fmt: skip

    def put_user(self, key, at=None, **user):
        blank = dict.fromkeys(
            ("nickname", "title", "department", "division", "location", "timeZone", "hireDate")
        )
        self.users[key] = {
            **blank, "userId": key, "empId": key, "username": f"login-{key}", "firstName": "Ada",
            "lastName": "Lovelace", "email": f"{key}@example.com", "status": "t", "manager": None,
            "salary": 99999, "dateOfBirth": date(1990, 1, 1),
            "lastModifiedDateTime": at or datetime.now(UTC), **user,
        }  # fmt: skip

    def asked(self, entity):
        return [a for a in self.server.asked if a.path == f"/odata/v2/{entity}"]

    # -- answers -------------------------------------------------------------------------------------------

    def __call__(self, environ, start_response):
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request):
        if request.path == "/oauth/token":
            return self._token(request)
        basic = base64.b64encode(f"{USER}@{COMPANY}:{self.password}".encode()).decode()
        allowed = {f"Basic {basic}", *(f"Bearer {token}" for token in self.tokens)}
        if request.headers.get("Authorization") not in allowed:
            return problem(401, "LGN0022", "Authentication failed.")
        entity = request.path.removeprefix("/odata/v2/")
        question = {name.removeprefix("$"): value for name, value in request.args.items()}
        session = request.cookies.get("JSESSIONID") if request.headers.get("X-CSRF-Token") else None
        answered = self._page(entity, question, session)
        if isinstance(answered, dict):
            answered = Response(json.dumps({"d": answered}), 200, {"Content-Type": "application/json"})
            if not session:
                number = next(self._numbers)
                answered.headers["X-CSRF-Token"] = f"csrf-{number}"
                answered.set_cookie("JSESSIONID", f"session-{number}", httponly=True)
                self._move(None, f"session-{number}")
        self.after_page()
        return answered

    def _token(self, request):
        form = {name: values[0] for name, values in parse_qs(request.get_data(as_text=True)).items()}
        right = {
            "grant_type": "urn:ietf:params:oauth:grant-type:saml2-bearer",
            "company_id": COMPANY,
            "client_id": "sf-api-key",
            "assertion": self.assertion,
        }
        if form != right:
            return problem(401, "LGN0014", "Unable to verify the signature.")
        self.tokens = {f"token-{next(self._numbers)}"}
        body = {"access_token": next(iter(self.tokens)), "token_type": "Bearer", "expires_in": 86399}
        return Response(json.dumps(body), 200, {"Content-Type": "application/json"})

    def _page(self, entity, question, session):
        if "skiptoken" in question:
            question = json.loads(base64.urlsafe_b64decode(question["skiptoken"]))
        snapshot = question.get("snapshot")
        if snapshot and (self.loses_snapshots or self._snapshots.get(snapshot, ("", []))[0] != session):
            return problem(
                500, "COE_GENERAL_SERVER_FAILURE", "[COE0019][SNP]Snapshot lost for current pagination query"
            )
        wanted = {name for path in question["select"].split(",") for name in path.split("/")}
        if strange := sorted(wanted & self.unknown):
            return problem(
                400, "COE_PROPERTY_NOT_FOUND", f"[COE0021]Invalid property names: {entity}/{strange[0]}."
            )
        known = self._rows(entity, question)
        if question.get("paging") == "snapshot" and not snapshot:
            if self.blocked:
                return problem(
                    400, "COE_SNAPSHOT_BAD_REQUEST", "We have temporarily blocked the snapshot pagination"
                )
            snapshot = f"snapshot-{next(self._numbers)}"
            self._snapshots[snapshot] = (session, list(known))
        keys = self._snapshots[snapshot][1] if snapshot else list(known)
        start, size = question.get("start", 0), min(self.page_most, int(question.get("customPageSize", 1000)))
        select, expand = set(question["select"].split(",")), set(question["expand"].split(","))
        rows = [known[key] for key in keys[start : start + size] if key in known]
        body = {"results": [self._shown(row, select, expand) for row in rows]}
        if question.get("inlinecount") == "allpages" and not start:
            body["__count"] = str(len(keys))
        if start + size < len(keys):
            place = {**question, "start": start + size - self.overlap, "snapshot": snapshot}
            token = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
            body["__next"] = self.next_link or f"{self.server.url}/odata/v2/{entity}?$skiptoken={token}"
        elif snapshot:
            del self._snapshots[snapshot]
        return body

    def _move(self, old, new):
        """Bind to a session the snapshots that were made with its first answer."""
        for name, (session, keys) in self._snapshots.items():
            if session == old:
                self._snapshots[name] = (new, keys)

    def _rows(self, entity, question):
        today = datetime.now(UTC).date()
        wanted = question["filter"]
        if entity == "EmpJob":
            users = re.findall(r"'([^']*)'", re.fullmatch(r"userId in (.*)", wanted)[1])
            start, end = (date.fromisoformat(question[name]) for name in ("fromDate", "toDate"))
            if "jobInfoNav" in self.unseen:
                return {}
            slices = (s for p in self.persons.values() for e in p["employmentNav"] for s in e["jobInfoNav"])
            found = [
                s for s in slices if s["userId"] in users and s["startDate"] <= end and s["endDate"] >= start
            ]
            return dict(enumerate(found))
        if entity == "User":
            since = re.search(r"lastModifiedDateTime ge datetimeoffset'([^']*)'", wanted)
            listed = re.findall(r"'(\w)'", wanted) or ["t"]
            rows = {k: u for k, u in self.users.items() if u["status"] in listed}
            moment = datetime.fromisoformat(since[1]) if since else LONG_AGO
            return {k: u for k, u in rows.items() if u["lastModifiedDateTime"] >= moment}
        employed = {
            key: person
            for key, person in self.persons.items()
            if person["personEmpTerminationInfoNav"]["activeEmploymentsCount"] is not None
        }
        assert wanted.startswith("personEmpTerminationInfoNav/activeEmploymentsCount ne null")
        terms = re.findall(
            r"\(?([\w/]+) ge datetimeoffset'([^']*)'(?: and [\w/]+ le datetimeoffset'([^']*)')?", wanted
        )
        if terms:
            employed = {k: p for k, p in employed.items() if any(matches(p, *term) for term in terms)}
        return {key: self._today(person, today) for key, person in employed.items()}

    def _today(self, person, today):
        """Give a person with what hangs on them today."""

        def current(slices):
            return [s for s in slices if s["startDate"] <= today <= s["endDate"]]

        jobs = [{**job, "jobInfoNav": current(job["jobInfoNav"])} for job in person["employmentNav"]]
        return {**person, "personalInfoNav": current(person["personalInfoNav"]), "employmentNav": jobs}

    def _shown(self, row, select, expand, path=""):
        shown = {}
        for name, value in row.items():
            place = f"{path}{name}"
            if name in self.unseen:
                continue
            if name.endswith("Nav") or name in ("manager", "empInfo"):
                if place not in expand and not any(other.startswith(f"{place}/") for other in expand):
                    value = {"__deferred": {"uri": f"{self.server.url}/odata/v2/X/{name}"}}  # noqa: PLW2901
                elif isinstance(value, list):
                    value = {"results": [self._shown(one, select, expand, f"{place}/") for one in value]}  # noqa: PLW2901
                elif isinstance(value, dict):
                    value = self._shown(value, select, expand, f"{place}/")  # noqa: PLW2901
                shown[name] = value
            elif place in select:
                shown[name] = encode(value)
        return shown


def matches(row, path, since, until):
    """Tell whether any value at the end of a path lies in a window."""
    rows, (*way, last) = [row], path.split("/")
    for name in way:
        hanging = [r.get(name) or [] for r in rows]
        rows = [one for value in hanging for one in (value if isinstance(value, list) else [value])]
    start, end = datetime.fromisoformat(since), datetime.fromisoformat(until) if until else None
    values = [r[last] for r in rows if r.get(last) is not None]
    moments = [v if isinstance(v, datetime) else datetime.combine(v, time(), UTC) for v in values]
    return any(moment >= start and (end is None or moment <= end) for moment in moments)


def encode(value):
    if isinstance(value, datetime):
        return f"/Date({int(value.timestamp() * 1000)}+0000)/"
    if isinstance(value, date):
        return f"/Date({(value - date(1970, 1, 1)) // timedelta(milliseconds=1)})/"
    return value


def problem(status, code, message):
    body = {"error": {"code": code, "message": {"lang": "en-US", "value": message}}}
    return Response(json.dumps(body), status, {"Content-Type": "application/json"})

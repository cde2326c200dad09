"""A stand-in for the learning events of SAP SuccessFactors Learning, with a memory.

Written from the vendor's articles. As there, a call holds ten events at most and a minute a hundred calls; of
a call with good and bad events the good ones are kept and the answer is 201; the same event twice is two;
nothing can be read back.
"""

import base64
import json
from zoneinfo import available_timezones

from werkzeug.wrappers import Request, Response

from rmplugin.testing import FaultyServer

COMPANY, ADMIN, CLIENT, SECRET, TOKEN = "acme", "lmsadmin", "acme-client", "quiet-secret", "sf-token"
PROPERTIES = {
    "description": str, "studentID": str, "completionDate": int, "completionTimeZoneID": str, "grade": str,
    "creditHours": float, "cpeHours": float, "contactHours": float, "totalHours": float,
    "instructorName": str, "comments": str,
}  # fmt: skip
REQUIRED = {"description", "studentID", "completionDate", "completionTimeZoneID"}
EVENTS = "/learning/odatav4/public/admin/learningevent-service/v1"
METADATA = '<edmx:Edmx><EntitySet Name="ExternalLearningEvents"/></edmx:Edmx>'


class SuccessFactorsLearning:
    """The stand-in.

    :ivar members: IDs of those whom Learning knows.
    :ivar events: what it keeps, as it came.
    :ivar in_rows: it answers with a row for each event; else with its errors alone.
    :ivar now: seconds, for the limit of calls; a minute begins with its first call.
    """

    def __init__(self):
        self.members = {f"{n:05d}" for n in range(1, 200)}
        self.events, self.secret, self.in_rows = [], SECRET, True
        self.now, self._minute, self._calls = 0.0, 0.0, 0
        self.server = FaultyServer(self, spare="/learning/oauth-api")

    @property
    def settings(self):
        return {
            "url": self.server.url,
            "company": COMPANY,
            "user": ADMIN,
            "client_id": CLIENT,
            "client_secret": SECRET,
        }

    def __call__(self, environ, start_response):
        request = Request(environ)
        answer = {
            ("POST", "/learning/oauth-api/rest/v1/token"): self._token,
            ("GET", f"{EVENTS}/$metadata"): self._metadata,
            ("POST", f"{EVENTS}/ExternalLearningEvents"): self._events,
        }.get((request.method, request.path), self._nothing)
        return answer(request)(environ, start_response)

    def _nothing(self, _request):
        return said({"error": {"message": "Not found"}}, 404)

    def _token(self, request):
        known = base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode()
        scope = {
            "userId": ADMIN,
            "companyId": COMPANY,
            "userType": "admin",
            "resourceType": "learning_public_api",
        }
        if request.headers.get("Authorization") != f"Basic {known}":
            return said({"error": "invalid_client"}, 401)
        if request.get_json() != {"grant_type": "client_credentials", "scope": scope}:
            return said({"error": "invalid_request"}, 400)
        return said({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 1800})

    def _metadata(self, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return said({"error": {"message": "Unauthorized"}}, 401)
        return Response(METADATA, 200, {"Content-Type": "application/xml"})

    def _events(self, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return said({"error": {"message": "Unauthorized"}}, 401)
        if self._is_too_many():
            wait = str(round(60 - (self.now - self._minute)))
            return said({"error": {"message": "API calling limit exceeded, Try later"}}, 429, wait)
        body = request.get_json()
        events = body.get("externalLearningEvents")
        if (
            set(body) != {"externalLearningEvents"}
            or not isinstance(events, list)
            or not 0 < len(events) <= 10
        ):
            return said({"error": {"message": "An array of up to 10 records"}}, 400)
        rows = [self._take(event) for event in events]
        if not self.in_rows:
            rows = [row for row in rows if row["errorMessage"]]
        return said({"value": rows}, 201)

    def _is_too_many(self):
        if self.now - self._minute >= 60:
            self._minute, self._calls = self.now, 0
        self._calls += 1
        return self._calls > 100

    def _take(self, event):
        fault = None
        if not REQUIRED <= set(event) <= set(PROPERTIES):
            fault = "Property missing or unknown"
        elif not all(isinstance(event[name], (PROPERTIES[name], int)) for name in event):
            fault = "Property of another type"
        elif event["studentID"] not in self.members:
            fault = f"Invalid studentID {event['studentID']}"
        elif event["completionTimeZoneID"] not in available_timezones():
            fault = "Invalid time zone"
        elif event["completionDate"] < 10**12 or any(
            event.get(n, 0) < 0 for n in event if n.endswith("Hours")
        ):
            fault = "Invalid number"
        else:
            self.events.append(event)
        return {"studentID": event.get("studentID"), "success": fault is None, "errorMessage": fault}


def said(body, status=200, retry_after=None):
    headers = {"Content-Type": "application/json"} | ({"Retry-After": retry_after} if retry_after else {})
    return Response(json.dumps(body), status, headers)

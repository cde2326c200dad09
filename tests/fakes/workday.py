"""A Workday tenant with one custom report, as documented: aliases for keys, texts, none when empty.

It knows who is employed on a day and who was changed since when, asks for the integration user's password,
and can be told to answer something else.
"""

import base64
import json
from datetime import UTC, date, datetime

from werkzeug.wrappers import Request, Response

REPORT = "/ccx/service/customreport2/acme/isu_people/Mentoring_Roster"
USER, PASSWORD = "isu_people@acme", "quill pässword"
AS_OF, SINCE = "Effective_as_of_Date", "Updated_From"


class WorkdayTenant:
    """A WSGI application.

    :ivar people: key -> (entry, day of hire or None, when it was changed).
    :ivar instead: answers to give before any report, each a function that makes one.
    :ivar always: answer that stands for every report; None for the report itself.
    """

    def __init__(self):
        self.people = {}
        self.instead = []
        self.always = None

    def fill(self, people):
        """Make these the people, canonical fields; whoever is the same as before was not changed."""
        before, self.people = self.people, {}
        for person in people:
            key, entry = person["source_key"], entry_of(person)
            same = key in before and before[key][0] == entry
            changed = before[key][2] if same else datetime.now(UTC)
            hired = None if person.get("bad") else person.get("hire_date")
            self.people[key] = (entry, hired, changed)

    def __call__(self, environ, start_response):
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request):
        given = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {given}":
            return Response('{"error": "invalid username or password"}', 401)
        if request.path != REPORT or request.args.get("format") != "json":
            return Response('{"error": "The report does not exist."}', 404)
        if self.instead:
            return self.instead.pop(0)()
        if self.always:
            return self.always()
        as_of = date.fromisoformat(request.args[AS_OF]) if AS_OF in request.args else None
        since = datetime.fromisoformat(request.args[SINCE]) if SINCE in request.args else None
        entries = [
            entry
            for entry, hired, changed in self.people.values()
            if (as_of is None or hired is None or hired <= as_of) and (since is None or changed >= since)
        ]
        return report(entries)


def entry_of(person):
    """Write a person as the report does."""
    entry = {
        "Employee_ID": person["source_key"],
        "First_Name": person.get("given_name"),
        "Last_Name": person.get("family_name"),
        "Work_Email": person.get("email"),
        "Hire_Date": f"{person['hire_date'].isoformat()}-08:00" if person.get("hire_date") else None,
        **person.get("entry", {}),
    }
    if person.get("bad"):
        entry["Hire_Date"] = "some day"
    return {name: value for name, value in entry.items() if value not in (None, "")}


def report(entries):
    """Make the answer that holds these entries."""
    return Response(json.dumps({"Report_Entry": entries}), mimetype="application/json")

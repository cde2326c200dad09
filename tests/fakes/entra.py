"""A stand-in for Microsoft's sign-in and Graph with a memory: users, deleted ones, and what changed when.

Written from the vendor's documents. As there, a change carries only the properties that changed and is told
only when they were selected, a page may be empty and not be the last one, an account that was deleted can be
restored, and a place is forgotten after a while.
"""

import base64
import json
import re
from urllib.parse import parse_qs

from werkzeug.wrappers import Request, Response

from rmplugin.testing import FaultyServer

TENANT, CLIENT, SECRET = "8a0c0000-7b1d-4a5e-9f00-000000000001", "app-client", "app-client-secret"
GUARDED = {"employeeLeaveDateTime"}
PROPERTIES = {
    "id", "accountEnabled", "userType", "preferredLanguage", "employeeId", "userPrincipalName", "mail",
    "givenName", "surname", "displayName", "jobTitle", "department", "employeeOrgData", "companyName",
    "officeLocation", "usageLocation", "employeeType", "employeeHireDate", "employeeLeaveDateTime",
    "onPremisesExtensionAttributes", "extension_0123456789abcdef0123456789abcdef_grade",
    # Private properties, which the connector must never ask for.
    "birthday", "ageGroup", "mobilePhone", "streetAddress", "aboutMe",
}  # fmt: skip


class Entra:
    """The stand-in: two servers, as sign-in and Graph are two hosts.

    :ivar users: id -> properties; `manager` is the id of one.
    :ivar page_most, change_most: users of a page, whatever was asked.
    :ivar empty_pages: numbers of pages that are empty, though others follow.
    :ivar overlap: so many users of a page come again on the next one.
    :ivar replay: changes from so many events before the right place are told again.
    :ivar forgotten: events up to this one are not known any more; the answer is `forgets_with`.
    :ivar after_page: called with the number of each page of users that was given.
    :ivar permissions: of the app.
    :ivar secret: the one that is right.
    :ivar lasting: the link to later changes is given at the end of changes.
    :ivar loops: paths whose next page is always the same one.
    :ivar next_link: given instead of the right one.
    :ivar page_expires: a place among the users is forgotten at once.
    """

    def __init__(self):
        self.users, self.deleted, self.events = {}, {}, []
        self.page_most, self.change_most, self.empty_pages, self.replay = 100, 100, set(), 0
        self.forgotten, self.forgets_with = -1, (410, "syncStateNotFound")
        self.after_page, self.lasting = lambda _number: None, True
        self.loops, self.next_link, self.page_expires, self.overlap = set(), None, False, 0
        self.permissions, self.secret, self.tokens = {"User.Read.All"}, SECRET, set()
        self.server, self.login = FaultyServer(self._graph), FaultyServer(self._sign_in)
        self.settings = {
            "tenant": TENANT,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "graph_url": self.server.url,
            "login_url": self.login.url,
        }

    def put(self, key, **properties):
        """Make or change a user."""
        fresh = {
            "userType": "Member",
            "accountEnabled": True,
            "displayName": f"User {key}",
            "jobTitle": "Clerk",
        }
        known = self.users.get(key, fresh if key not in self.users else {})
        changed = {name for name, value in properties.items() if known.get(name) != value}
        is_new = key not in self.users
        self.users[key] = {"id": key, **known, **properties}
        if is_new or changed:
            self.events.append((key, set(self.users[key]) if is_new else changed))

    def delete(self, key):
        """Delete a user, who can be restored."""
        self.deleted[key] = self.users.pop(key)
        self.events.append((key, None))

    def restore(self, key):
        self.users[key] = self.deleted.pop(key)
        self.events.append((key, set(self.users[key])))

    def purge(self, key):
        """Delete a user for ever."""
        self.deleted.pop(key, None) or self.users.pop(key)
        self.events.append((key, None))

    def asked(self, path):
        return [a for a in self.server.asked if a.path == path]

    # -- sign-in -------------------------------------------------------------------------------------------

    def _sign_in(self, environ, start_response):
        request = Request(environ)
        form = {name: values[0] for name, values in parse_qs(request.get_data(as_text=True)).items()}
        right = {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "client_secret": self.secret,
            "scope": f"{self.server.url}/.default",
        }
        if request.path != f"/{TENANT}/oauth2/v2.0/token" or form != right:
            body = {
                "error": "invalid_client",
                "error_description": "AADSTS7000222: expired",
                "error_codes": [7000222],
            }
            return answer(body, 401)(environ, start_response)
        token = f"token-{len(self.tokens)}"
        self.tokens = {token}
        return answer({"token_type": "Bearer", "expires_in": 3599, "access_token": token})(
            environ, start_response
        )

    # -- Graph ---------------------------------------------------------------------------------------------

    def _graph(self, environ, start_response):
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request):
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return problem(401, "InvalidAuthenticationToken")
        if "User.Read.All" not in self.permissions:
            return problem(403, "Authorization_RequestDenied")
        question = {name.removeprefix("$"): value for name, value in request.args.items()}
        if request.path in self.loops:
            link = f"{self.server.url}{request.path}?$skiptoken=again"
            return answer({"value": [], "@odata.nextLink": link})
        if request.path == "/v1.0/users":
            return self._page(question)
        if request.path == "/v1.0/users/delta":
            return self._delta(question, request.headers.get("Prefer") == "return=minimal")
        return problem(404, "Request_ResourceNotFound")

    def _page(self, question):
        if "skiptoken" in question:
            if self.page_expires:
                return problem(400, "Directory_ExpiredPageToken")
            question = unpack(question["skiptoken"])
        after, number = question.get("after", ""), question.get("number", 0)
        names = question["select"].split(",")
        if not set(names) <= PROPERTIES:
            return problem(400, "Request_BadRequest")
        if set(names) & GUARDED and "User-LifeCycleInfo.Read.All" not in self.permissions:
            return problem(403, "Authorization_RequestDenied")
        keys = sorted(key for key in self.users if key > after)
        if "filter" in question:
            wanted = re.findall(r"'([^']*)'", re.fullmatch(r"id in \((.*)\)", question["filter"])[1])
            if len(wanted) > 15:
                return problem(400, "Request_UnsupportedQuery")
            keys = [key for key in keys if key in wanted]
        size = 0 if number in self.empty_pages else min(self.page_most, int(question.get("top", 100)))
        expanded = question.get("expand") == "manager($select=id)"
        body = {"value": [self._shown(self.users[key], names, expanded) for key in keys[:size]]}
        if len(keys) > size:
            place = {
                **question,
                "after": keys[size - 1 - self.overlap] if size else after,
                "number": number + 1,
            }
            body["@odata.nextLink"] = f"{self.server.url}/v1.0/users?$skiptoken={pack(place)}"
        if self.next_link:
            body["@odata.nextLink"] = self.next_link
        self.after_page(number)
        return answer(body)

    def _shown(self, user, names, expanded):
        shown = {name: user.get(name) for name in names}
        if expanded and user.get("manager"):
            shown["manager"] = {"@odata.type": "#microsoft.graph.user", "id": user["manager"]}
        return shown

    def _delta(self, question, minimal):
        if "deltatoken" in question and question["deltatoken"] != "latest":
            place = unpack(question["deltatoken"])
            if place is None or place["at"] <= self.forgotten:
                return problem(*self.forgets_with)
            place["at"] = max(place["at"] - self.replay, 0)
            place["until"] = len(self.events)
        elif "skiptoken" in question:
            place = unpack(question["skiptoken"])
        else:
            # `$expand` and `$top` are not for changes.
            if set(question) != {"select", "deltatoken"} or not set(
                question["select"].split(",")
            ) <= PROPERTIES | {"manager"}:
                return problem(400, "Request_BadRequest")
            now = len(self.events)
            place = {"select": question["select"], "at": now, "until": now}
        return self._changes(place, minimal)

    def _changes(self, place, minimal):
        names, at, until = set(place["select"].split(",")), place["at"], place["until"]
        upto = min(at + self.change_most, until)
        rows = []
        for key, changed in self.events[at:upto]:
            if key not in self.users:
                rows.append(
                    {"id": key, "@removed": {"reason": "changed" if key in self.deleted else "deleted"}}
                )
            elif changed is None:
                # Deleted first and restored later: the old news comes all the same.
                rows.append({"id": key, "@removed": {"reason": "changed"}})
            elif told := changed & names:
                shown = told if minimal else names
                # A manager's change is not told with the manager.
                rows.append({"id": key} | {n: self.users[key].get(n) for n in shown - {"manager"}})
        body = {"value": rows}
        if upto < until:
            rest = pack({**place, "at": upto})
            body["@odata.nextLink"] = f"{self.server.url}/v1.0/users/delta?$skiptoken={rest}"
        elif self.lasting:
            later = pack({"select": place["select"], "at": until})
            body["@odata.deltaLink"] = f"{self.server.url}/v1.0/users/delta?$deltatoken={later}"
        return answer(body)


def pack(place):
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def unpack(token):
    """Give the place that a token stands for; None for one that is none."""
    try:
        return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return None


def answer(body, status=200):
    return Response(json.dumps(body), status, {"Content-Type": "application/json"})


def problem(status, code):
    error = {"code": code, "message": "Refused.", "innerError": {"date": "2026-11-26T05:00:00"}}
    return answer({"error": error}, status)

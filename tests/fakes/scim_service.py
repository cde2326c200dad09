"""A SCIM 2.0 service to read from: pages of its own size, an order that is none, changes by lastModified."""

import json
import random
import re
from datetime import UTC, datetime

from werkzeug.wrappers import Request, Response

from rmplugin.scim_user import ENTERPRISE
from rmplugin.testing import FaultyServer

TOKEN = "let-me-in"
CHANGED_SINCE = re.compile(r'meta\.lastModified gt "([^"]+)"')


class ScimService:
    """Holds users; `server` answers for it.

    :ivar page_limit: most users of a page, whatever is asked for.
    :ivar can_filter: whether changes can be asked for.
    :ivar shuffled: every page is cut from another order, as services without an order do at worst.
    :ivar gone: the service is not there any more.
    """

    def __init__(self):
        self.users, self.page_limit, self.can_filter, self.shuffled, self.gone = {}, 50, True, False, False
        self.server = FaultyServer(self.answer)
        self.settings = {"url": f"{self.server.url}/scim/v2", "token": TOKEN}

    def put(self, key, **attributes):
        meta = {"resourceType": "User", "lastModified": datetime.now(UTC).isoformat()}
        self.users[key] = {"id": key, "userName": f"user{key}", **attributes, "meta": meta}

    def answer(self, environ, start_response):
        request = Request(environ)
        return self._reply(request)(environ, start_response)

    def _reply(self, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._error(401, "unauthorized")
        if self.gone:
            return self._error(404, "no such service")
        if request.path == "/scim/v2/ServiceProviderConfig":
            return self._send({"filter": {"supported": self.can_filter, "maxResults": self.page_limit}})
        if request.path != "/scim/v2/Users":
            return self._error(404, "no such resource")
        found = list(self.users.values())
        if "filter" in request.args:
            match = CHANGED_SINCE.fullmatch(request.args["filter"])
            if not self.can_filter or match is None:
                return self._error(400, "no such filter", scimType="invalidFilter")
            since = datetime.fromisoformat(match[1])
            found = [u for u in found if datetime.fromisoformat(u["meta"]["lastModified"]) > since]
        if self.shuffled:
            random.Random(int(request.args["startIndex"])).shuffle(found)
        wanted = {name.split(":")[0] for name in request.args["attributes"].split(",")} | {"id", "urn"}
        start, count = int(request.args["startIndex"]) - 1, int(request.args["count"])
        page = found[start : start + min(count, self.page_limit)]
        return self._send(
            {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
                "totalResults": len(found),
                "startIndex": start + 1,
                "itemsPerPage": len(page),
                "Resources": [{k: v for k, v in u.items() if k.split(":")[0] in wanted} for u in page],
            }
        )

    def _send(self, document, status=200):
        return Response(json.dumps(document), status, content_type="application/scim+json")

    def _error(self, status, detail, **more):
        return self._send({"status": str(status), "detail": detail, **more}, status)


def user_of(person):
    """Write one of the contract's people as SCIM does; the bad one has a date that nobody writes."""
    return {
        "name": {"givenName": person["given_name"], "familyName": person["family_name"]},
        "emails": [{"value": person["email"], "primary": True}],
        ENTERPRISE: {"hired": "never" if person.get("bad") else person["hire_date"].isoformat()},
    }

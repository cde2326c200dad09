"""A fake of Odoo's JSON-RPC interface, as far as employees go; written from its documented shapes, stateful.

It keeps microseconds and tells seconds, hides archived rows unless `active_test` is false, writes `false` for
what is empty and references as [id, name], and answers errors with status 200.
"""

import json
from datetime import UTC, datetime
from operator import itemgetter

from werkzeug.wrappers import Request, Response

LOGIN, KEY, DATABASE, UID = "reader@company.example", "odoo-key-1", "company", 7
EMPTY = {
    "active": True, "barcode": False, "birthday": "1990-01-01", "company_id": [1, "Company"],
    "country_id": [5, "Utopia"],
    "department_id": False, "departure_date": False, "employee_skill_ids": [], "employee_type": "employee",
    "first_contract_date": False, "identification_id": "ID-PRIVATE", "job_id": False, "job_title": False,
    "name": "?", "parent_id": False, "tz": False, "work_email": False, "work_location_id": False,
}  # fmt: skip
OPERATORS = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: (a[0] if isinstance(a, list) else a) in b,
}


class OdooError(Exception):
    """What Odoo answers with status 200."""

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(text)
        self.name = name


class FakeOdoo:
    """The database and its interface.

    :ivar denied: fields of hr.employee that exist but may not be read.
    :ivar hidden: fields that `fields_get` does not even name: another application's, or another group's.
    :ivar asked: fields that were asked for so far.
    :ivar most: rows per answer, whatever is asked for; None for no limit.
    :ivar broken: name of the error with which everything is answered.
    """

    def __init__(self):
        self.employees, self.skills = {}, {}
        self.denied, self.hidden, self.asked = set(), set(), set()
        self.most = self.broken = None
        self.ignores_domain = False
        self._next = 1

    # What people do in Odoo

    def create(self, **values):
        number, self._next = self._next, self._next + 1
        self.employees[number] = {"id": number, **EMPTY, **values}
        self.write(number)
        return number

    def write(self, number, **values):
        self.employees[number] |= values
        self.employees[number]["write_date"] = datetime.now(UTC)

    def unlink(self, number):
        del self.employees[number]

    def teach(self, number, skill):
        key = len(self.skills) + 1
        self.skills[key] = {"id": key, "employee_id": [number, "?"], "skill_id": [key, skill]}
        self.employees[number]["employee_skill_ids"] = [*self.employees[number]["employee_skill_ids"], key]

    # The interface

    def __call__(self, environ, start_response):
        request = Request(environ)
        assert (request.method, request.path) == ("POST", "/jsonrpc")
        call = json.loads(request.get_data())
        answer = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            answer["result"] = self._serve(**call["params"])
        except OdooError as error:
            data = {
                "name": error.name,
                "message": str(error),
                "arguments": [str(error)],
                "debug": "Traceback",
            }
            answer["error"] = {"code": 200, "message": "Odoo Server Error", "data": data}
        return Response(json.dumps(answer), content_type="application/json")(environ, start_response)

    def _serve(self, service, method, args):
        if self.broken:
            raise OdooError(self.broken, "quill1@quill.example is in the way")
        if (service, method) == ("common", "authenticate"):
            return UID if args[:3] == [DATABASE, LOGIN, KEY] else False
        assert (service, method) == ("object", "execute_kw")
        database, uid, key, model, verb, words, options = args
        if (database, uid, key) != (DATABASE, UID, KEY):
            raise OdooError("odoo.exceptions.AccessDenied", "Access Denied")
        return getattr(self, f"_{verb}")(model, *words, **options)

    def _fields_get(self, _model, names, attributes):
        assert attributes == ["type"]
        there = {"id", "write_date", *EMPTY} - self.hidden
        return {name: {"type": "char"} for name in names if name in there}

    def _search_count(self, model, domain, context):
        return len(self._found(model, domain, context))

    def _search_read(self, model, domain, fields, context, order="id", limit=None):
        if model == "hr.employee":
            self.asked |= set(fields)
            if forbidden := self.denied & set(fields):
                raise OdooError("odoo.exceptions.AccessError", f"The fields {forbidden} are not for you")
            if strange := set(fields) - {"id", "write_date", *EMPTY} | self.hidden & set(fields):
                raise OdooError("builtins.ValueError", f"Invalid field {strange} on model 'hr.employee'")
        elif self.denied & {model}:
            raise OdooError("odoo.exceptions.AccessError", "You are not allowed to access this")
        assert order == "id"
        found = self._found(model, domain, context)[: min(limit or 10**9, self.most or 10**9)]
        return [{name: self._told(row[name]) for name in ["id", *fields]} for row in found]

    def _found(self, model, domain, context):
        table = self.employees if model == "hr.employee" else self.skills
        rows = sorted(table.values(), key=itemgetter("id"))
        if context.get("active_test", True):
            rows = [row for row in rows if row.get("active", True)]
        if self.ignores_domain:
            return rows
        return [row for row in rows if all(self._matches(row, *term) for term in domain)]

    @staticmethod
    def _matches(row, name, operator, value):
        mine = row[name]
        if isinstance(mine, datetime):
            # The stored microseconds are compared, although only seconds are told.
            value = datetime.strptime(value, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        return OPERATORS[operator](mine, value)

    @staticmethod
    def _told(value):
        return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else value

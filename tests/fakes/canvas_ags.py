"""The grades of Canvas, as its `scores_controller.rb` and `results_controller.rb` answer.

What differs from the platform below: addresses without a query, pages by Link header with four relations and
no order, results in the maximum of the score that made them (a teacher's are scaled to it), no times, members
without a value left out, 422 for who is no student, 400 for an older time, attempts that are used up.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from tests.fakes.ags_platform import AgsPlatform
from tests.fakes.lti_platform import AGS_SCOPE, LINE_ITEM, LINE_ITEMS, RESULTS

SUBMISSION = "https://canvas.instructure.com/lti/submission"
_ITEM = re.compile(r"/ags/courses/3/line_items/(\d+)(/scores|/results)?")


class CanvasAgs(AgsPlatform):
    """One course with one assignment of an external tool.

    :ivar points: what the assignment is worth; the tool's scores have a maximum of their own.
    :ivar attempts: how many submissions each student has left.
    :ivar shuffle: called after each page of results that was given.
    """

    def __init__(self, runtime, clock, *, points: float = 40) -> None:
        self.points = points
        self.attempts: dict[str, int] = {}
        self.shuffle = lambda: None
        super().__init__(runtime, clock)

    def add_line_item(self, **members: Any) -> str:
        number = str(next(self._numbers))
        url = f"{self.base}/ags/courses/3/line_items/{number}"
        self.line_items[number] = {"label": "x", "scoreMaximum": self.points, **members, "id": url}
        return url

    def route(self, method, path, query, headers, body):
        match = _ITEM.fullmatch(path)
        if match is None and path == "/ags/courses/3/line_items":
            self._authorise(headers, AGS_SCOPE + "lineitem", AGS_SCOPE + "lineitem.readonly")
            page, link = self._page(path, query, list(self.line_items.values()))
            return 200, LINE_ITEMS, json.dumps(page), link
        if match is None:
            return super().route(method, path, query, headers, body)
        self._need(match[1] in self.line_items, 404, "not_found")
        if match[2] == "/scores":
            return self._score(match[1], method, headers, body)
        if match[2] == "/results":
            return self._results(match[1], query, headers)
        self._authorise(headers, AGS_SCOPE + "lineitem", AGS_SCOPE + "lineitem.readonly")
        return 200, LINE_ITEM, json.dumps(self.line_items[match[1]]), {}

    def _take_score(self, number, method, headers, body):
        self._need(method == "POST", 405, "method")
        self._authorise(headers, AGS_SCOPE + "score")
        score = json.loads(body)
        user = score["userId"]
        student = any(m["user_id"] == user and "Learner" in m["roles"] for m in self.members)
        self._need(student, 422, "not_a_student")
        self._need("scoreGiven" not in score or score.get("scoreMaximum", 0) > 0, 422, "score_maximum")
        at = datetime.fromisoformat(score["timestamp"])
        stored = self.scores.get((number, user))
        self._need(stored is None or at >= stored["at"], 400, "older")
        if score.get(SUBMISSION, {}).get("new_submission", True):
            self._need(self.attempts.setdefault(user, 3) > 0, 422, "attempts")
            self.attempts[user] -= 1
        # An update moves a row to the end, as PostgreSQL does for a query without an order.
        self.scores.pop((number, user), None)
        given, maximum = score.get("scoreGiven"), score.get("scoreMaximum")
        self.scores[number, user] = {"at": at, "given": given, "maximum": maximum, "result": None}
        if given is not None:
            self.scores[number, user]["result"] = 100 * given / maximum
        answer = {"resultUrl": f"{self.line_items[number]['id']}/results/{user}"}
        return 200, "application/json", json.dumps(answer), {}

    def show(self, user_id, percent, at) -> None:
        super().show(user_id, percent, at)
        row = self.scores.get((next(iter(self.line_items)), user_id))
        if row is not None:
            # The teacher gives points of the assignment; the result is scaled to the score's own maximum.
            row["given"] = None if row["result"] is None else row["result"]
            row["maximum"] = 100

    def _page(self, path, query, items):
        at, size = int(query.get("page", 1)), int(query.get("per_page", self.page_size))
        last = max(1, -(-len(items) // size))

        def link(number, relation):
            kept = "".join(f"&{name}={query[name]}" for name in ("user_id",) if name in query)
            return f'<{self.base}{path}?page={number}&per_page={size}{kept}>; rel="{relation}"'

        links = [link(at, "current"), *([link(at + 1, "next")] if at < last else [])]
        links += [link(1, "first"), link(last, "last")]
        return items[(at - 1) * size : at * size], {"Link": ",".join(links)}

    def _results(self, number, query, headers):
        self._authorise(headers, AGS_SCOPE + "result.readonly")
        url = self.line_items[number]["id"]
        found = [
            {
                "id": f"{url}/results/{user}",
                "scoreOf": url,
                "userId": user,
                "resultScore": row["given"],
                "resultMaximum": row["maximum"],
            }
            for (line_item, user), row in self.scores.items()
            if line_item == number and query.get("user_id") in (None, user)
        ]
        page, link = self._page(f"/ags/courses/3/line_items/{number}/results", query, found)
        page = [{name: value for name, value in one.items() if value is not None} for one in page]
        self.shuffle()
        return 200, RESULTS, json.dumps(page), link

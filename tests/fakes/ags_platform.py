"""The strict LTI platform with handles for tests of deliveries: counts pushes, can hold answers back."""

from __future__ import annotations

import functools
import json
import threading

from rmplugin.tenants.store import PlatformStore
from tests.fakes.lti_platform import LtiPlatform, Refused, make_key


@functools.cache
def _key():
    return make_key("one")


class AgsPlatform(LtiPlatform):
    """One course with one graded link.

    :ivar pushes: (user, score given, timestamp, status) of every score that was posted, in order.
    :ivar reached: set when a score was taken in; its answer then waits for `answer_now` while `holding`.
    :ivar refuse_scores: status with which every score is refused; None for the platform's own rules.
    :ivar lost_answers: so many scores are taken in, but answered with 502.
    """

    def __init__(self, runtime, clock) -> None:
        store = PlatformStore(runtime.database, clock)
        super().__init__(_key(), lambda: {"keys": store.published_jwks()}, clock)
        self.pushes: list[tuple[str, float, str, int]] = []
        self.reached = threading.Event()
        self.answer_now = threading.Event()
        self.holding = False
        self.refuse_scores: int | None = None
        self.lost_answers = 0
        self.bodies: list[dict] = []
        self.line_item_url = self.add_line_item(label="Mentoring", resourceLinkId="12")

    def enrol(self, user_id: str, role: str = "Learner") -> None:
        self.members.append({"user_id": user_id, "roles": [role]})

    def _score(self, number, method, headers, body):
        score = json.loads(body)
        self.bodies.append(score)
        try:
            self._need(self.refuse_scores is None, self.refuse_scores or 0, "refused")
            answer = self._take_score(number, method, headers, body)
        except Refused as refused:
            self._note(score, refused.status)
            raise
        self._note(score, answer[0])
        self.reached.set()
        if self.holding:
            self.answer_now.wait(30)
        if self.lost_answers:
            self.lost_answers -= 1
            raise Refused(502, "lost")
        return answer

    def _take_score(self, number, method, headers, body):
        return super()._score(number, method, headers, body)

    def show(self, user_id: str, percent: float | str | None, at) -> None:
        """Let the gradebook show something else, as after a click there.

        :param percent: None takes the row away; "erased" leaves it without a grade.
        """
        key = (next(iter(self.line_items)), user_id)
        self.scores.pop(key, None)
        if percent is not None:
            result = None if percent == "erased" else percent
            self.scores[key] = {"at": at, "result": result, "comment": None}

    def _note(self, score, status: int) -> None:
        self.pushes.append((score["userId"], score.get("scoreGiven"), score["timestamp"], status))

    @property
    def taken(self) -> list[tuple[str, float]]:
        """Give (user, score) of every push that the gradebook took, in order."""
        return [(user, given) for user, given, _at, status in self.pushes if status == 200]

    @property
    def grades(self) -> dict[str, float]:
        """Give user -> grade as the gradebook shows it now."""
        return {user: score["result"] for (_item, user), score in self.scores.items()}

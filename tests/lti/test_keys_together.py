"""Many launches need a platform's key at the same moment: one asks for it, the others wait for the answer."""

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import requests
from urllib3 import HTTPResponse

from lti.errors import LaunchError
from lti.jwks import KeySets
from tests.fakes.lti_platform import make_key
from tests.fakes.lti_store import MemoryStore

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
URL = "https://lms.example/jwks"
LAUNCHES = 8


class SlowPlatform:
    """A session for a key set whose answer waits until it is let go."""

    status_code = 200

    def __init__(self) -> None:
        self.kids, self.asked, self.go = ["first"], 0, threading.Event()
        self.key = make_key("any").export_public(as_dict=True)

    def get(self, *_arguments, **_options):
        self.asked += 1
        self.go.wait(10)
        answer = requests.Response()
        answer.status_code = self.status_code
        body = json.dumps({"keys": [{**self.key, "kid": kid} for kid in self.kids]}).encode()
        answer.raw = HTTPResponse(io.BytesIO(body), preload_content=False)
        return answer


def find_together(keys, store, platform, kid: str) -> list[object]:
    """Ask for one key by many threads; the platform answers when all have asked."""
    together = threading.Barrier(LAUNCHES + 1)

    def find():
        together.wait(10)
        try:
            return keys.find(store, URL, kid, NOW)
        except LaunchError as error:
            return error.code

    platform.go.clear()
    with ThreadPoolExecutor(LAUNCHES) as threads:
        found = [threads.submit(find) for _ in range(LAUNCHES)]
        together.wait(10)
        threading.Timer(0.2, platform.go.set).start()
        return [one.result(20) for one in found]


@pytest.mark.parametrize("rotated", [False, True])
def test_key_when_many_need_it_at_once_is_asked_for_once_and_found_by_all(rotated):
    platform, store = SlowPlatform(), MemoryStore(None, lambda: NOW)
    keys = KeySets(platform)
    if rotated:
        platform.go.set()
        keys.find(store, URL, "first", NOW)
        platform.kids, platform.asked = ["second"], 0
    found = find_together(keys, store, platform, platform.kids[0])
    assert len(set(map(id, found))) == 1
    assert not isinstance(found[0], str), found
    assert platform.asked == 1


def test_key_when_the_platform_does_not_answer_is_asked_for_once_and_refused_to_all():
    platform, store = SlowPlatform(), MemoryStore(None, lambda: NOW)
    platform.status_code = 503
    assert find_together(KeySets(platform), store, platform, "first") == ["key_set_unreachable"] * LAUNCHES
    assert platform.asked == 1

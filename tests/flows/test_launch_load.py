"""Sixty people open the activity at the same moment, over real servers: the benchmark without its clock."""

import asyncio
import threading

import pytest
from werkzeug.serving import make_server

from benchmarks import launch_floor
from benchmarks.crowd import Crowd, SigningPlatform
from benchmarks.launch_load import WAVES, Size, measure
from tests.lti.openedx_fixtures import QuietHandler

PEOPLE = 60


@pytest.fixture(scope="module")
def platform():
    with SigningPlatform(1) as platform:
        yield platform


def wave_against(app, platform, people: int):
    """Send a crowd once to a WSGI app that is served by threads of this process."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    async def once():
        async with Crowd(f"http://127.0.0.1:{server.server_port}", people, platform, bound=60) as crowd:
            return await crowd.wave()

    try:
        return asyncio.run(once())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_launches_when_sixty_people_come_at_once_each_show_their_own_person(database_url, tmp_path):
    folder = tmp_path / "tool"
    folder.mkdir()
    measured = measure(folder, database_url, Size(PEOPLE, bound=120))
    assert measured.faults == []
    for name in WAVES:
        wave = measured.waves[name]
        assert wave.most_at_once == PEOPLE
        assert len({outcome.token for outcome in wave.outcomes}) == PEOPLE


def test_crowd_when_the_server_mixes_two_people_up_names_both(platform):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/entry/3":
            environ["PATH_INFO"] = "/entry/2"
        return launch_floor.app(environ, start_response)

    wave = wave_against(app, platform, 5)
    assert wave.faults == [
        "Person 00003x cross-wired: home shows ['Person 00002x']",
        "one session token for 2 people",
    ]


def test_crowd_when_the_server_refuses_somebody_counts_them_as_lost(platform):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/entry/1":
            start_response("401 Unauthorized", [("Content-Type", "text/html")])
            return [b"<h1>Please reopen the activity</h1>"]
        return launch_floor.app(environ, start_response)

    assert wave_against(app, platform, 3).faults == [
        "Person 00001x lost: entry: 401 Please reopen the activity"
    ]

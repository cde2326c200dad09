"""The tool's signing keys: several published, encrypted at rest, rotated when platforms know the next."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from rmplugin.errors import ConflictError
from rmplugin.tenants.keys import PUBLISHED_FIRST, RETIRING_FOR, rotate_tool_keys
from rmplugin.tenants.models import ToolKey
from rmplugin.tenants.store import PlatformStore
from rmplugin.tenants.tasks import tidy


@pytest.fixture
def keys(runtime, tool_keys):
    """Give a function: state -> kids."""

    def read() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with runtime.database.transaction(None, write=False) as db:
            for key in db.scalars(select(ToolKey).order_by(ToolKey.created_at)):
                found.setdefault(key.state, []).append(key.kid)
        return found

    return read


def rotate(runtime, clock, **how):
    with runtime.database.transaction(None) as db:
        rotate_tool_keys(db, runtime.database.secrets, clock.now, **how)


def test_keys_when_due_are_rotated_by_the_hourly_tidy_and_once(runtime, keys, clock):
    before = keys()
    clock.forward(days=89, hours=23)
    tidy(runtime)
    assert keys() == before
    clock.forward(hours=1)
    tidy(runtime)
    after = keys()
    assert (after["retiring"], after["current"]) == (before["current"], before["next"])
    assert len(after["next"]) == 1
    clock.forward(hours=1)
    tidy(runtime)
    assert keys() == after


def test_keys_when_rotation_is_off_stay(settings, runtime, keys, clock):
    before = keys()
    clock.forward(days=1000)
    tidy(replace(runtime, settings=replace(settings, key_rotation_days=0)))
    assert keys() == before


def test_keys_when_the_next_is_younger_than_the_cached_key_set_are_not_rotated_on_schedule(
    runtime, keys, clock
):
    clock.forward(days=90)
    with runtime.database.transaction(None) as db:
        db.scalars(select(ToolKey).where(ToolKey.state == "next")).one().created_at = clock.now
    before = keys()
    clock.now += PUBLISHED_FIRST - timedelta(seconds=1)
    tidy(runtime)
    assert keys() == before
    clock.forward(seconds=1)
    tidy(runtime)
    assert keys()["current"] == before["next"]


def test_keys_when_the_next_got_lost_are_given_one_that_waits_its_hour(runtime, keys, clock):
    with runtime.database.transaction(None) as db:
        db.delete(db.scalars(select(ToolKey).where(ToolKey.state == "next")).one())
    before = keys()
    clock.forward(days=100)
    tidy(runtime)
    assert (keys()["current"], len(keys()["next"])) == (before["current"], 1)
    clock.now += PUBLISHED_FIRST
    tidy(runtime)
    assert keys()["retiring"] == before["current"]


def test_keys_when_rotated_by_command_in_haste_must_be_asked_for(runtime, keys, clock):
    before = keys()
    with pytest.raises(ConflictError, match="--now"):
        rotate(runtime, clock)
    assert keys() == before
    rotate(runtime, clock, hasty=True)
    assert keys()["current"] == before["next"]


def test_keys_when_retired_are_published_for_fourteen_days_and_forgotten_without_a_rotation(
    app, runtime, keys, clock
):
    clock.now += PUBLISHED_FIRST
    rotate(runtime, clock)
    (old,) = keys()["retiring"]
    clock.now += RETIRING_FOR
    tidy(runtime)
    assert old in {key["kid"] for key in app.test_client().get("/lti/jwks").json["keys"]}
    clock.forward(hours=1)
    tidy(runtime)
    assert "retiring" not in keys()
    assert old not in {key["kid"] for key in app.test_client().get("/lti/jwks").json["keys"]}


def test_key_set_when_published_names_every_key_and_may_be_cached(app, runtime, keys, clock):
    clock.now += PUBLISHED_FIRST
    rotate(runtime, clock)
    answer = app.test_client().get("/lti/jwks")
    published = answer.json["keys"]
    assert {key["kid"] for key in published} == {kid for kids in keys().values() for kid in kids}
    assert len(published) == 3
    assert all((key["alg"], key["use"], key["kty"]) == ("RS256", "sig", "RSA") for key in published)
    assert not any({"d", "p", "q"} & key.keys() for key in published)
    assert answer.headers["Cache-Control"] == "public, max-age=3600"


def test_key_when_it_signs_was_published_for_as_long_as_platforms_keep_the_key_set(runtime, keys, clock):
    store = PlatformStore(runtime.database, clock)
    seen = {key["kid"] for key in store.published_jwks()}
    clock.now += PUBLISHED_FIRST
    rotate(runtime, clock)
    clock.forward(seconds=11)
    assert store.signing_key().kid in seen


def test_private_keys_when_stored_are_not_readable_in_the_database(runtime, keys, tmp_path):
    with runtime.database.transaction(None) as db:
        stored = [bytes(row) for row in db.scalars(text("SELECT private_key_locked FROM tool_key"))]
    assert len(stored) == 2
    files = [path.read_bytes() for path in tmp_path.glob("test.sqlite3*")]
    for found in (*stored, *files):
        assert b"PRIVATE KEY" not in found
    # They are there, and only our secret opens them.
    assert all("PRIVATE KEY" in runtime.database.secrets.unlock(locked) for locked in stored)

"""What an LMS says about its users, and the rows that come of it."""

from __future__ import annotations

from lti.nrps import Member
from lti.roles import parse_roles
from rmplugin.people.identity import Candidate, Sighting, usable
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.people.store import link_users
from rmplugin.tenants.models import LtiPlatform
from tests.factories.rows import read_rows

LEARNER = ("http://purl.imsglobal.org/vocab/lis/v2/membership#Learner",)
TEST_USER = "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"


def see(sub: str, roles=LEARNER, name: str | None = None, **values: str | None) -> Sighting:
    """Make a sighting; `values` are source=value, best first, and unusable ones are left out."""
    pairs = ((source, usable(value)) for source, value in values.items())
    return Sighting(
        sub=sub,
        name=name,
        email=values.get("email"),
        roles=parse_roles(roles),
        candidates=tuple(Candidate(source, value) for source, value in pairs if value is not None),
    )


def link(db, platform, now, *sightings: Sighting) -> dict[str, LtiUser]:
    """Link users as a launch (one sighting) or a roster (several) does."""
    return link_users(db, db.get_one(LtiPlatform, platform.id), sightings, now)


def the_user(database, tenant) -> LtiUser:
    """Give the only LMS user that the tenant knows."""
    (user,) = read_rows(database, tenant, LtiUser)
    return user


def listed(user_id: str, **fields) -> Member:
    """Make a member of a course's roster; a learner without any personal data, unless `fields` say more."""
    values = {
        "roles": parse_roles(fields.pop("roles", ("Learner",))),
        "status": "Active",
        "name": None,
        "given_name": None,
        "family_name": None,
        "email": None,
        "sourcedid": None,
        "message": (),
    }
    return Member(user_id=user_id, **(values | fields))


def join(db, context, sub: str, now, *, launched=True, **fields) -> LtiUser:
    """Put an LMS user into a course."""
    member = {"roles": ["Learner"], "is_learner": True, "status": "Active", "launch_sha256": ""}
    member |= {name: fields.pop(name) for name in ("roles", "is_learner", "status") if name in fields}
    when = now if launched else None
    user = LtiUser(
        platform_id=context.platform_id,
        sub=sub,
        **({"link_state": "unlinked", "link_problem": "no_match", "last_launch_at": when} | fields),
    )
    db.add(user)
    db.flush()
    db.add(CourseMember(context_id=context.id, lti_user_id=user.id, last_launch_at=when, **member))
    db.flush()
    return user

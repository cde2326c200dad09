"""The calls of the consumer into the LMS, answered from the course in memory.

`REPLACED` names the functions of `lti_consumer.plugin.compat` that these take the place of.
"""

from lti_consumer.exceptions import LtiError
from lti_consumer.plugin import compat

from .course import COURSE, Block

REPLACED = (
    "load_enough_xblock",
    "load_block_as_user",
    "get_user_from_external_user_id",
    "batch_get_or_create_externalids",
    "get_course_members",
    "get_user_course_forum_role",
    "get_course_by_id",
    "user_course_access",
    "user_has_access",
    "user_has_studio_write_access",
)


def replace():
    """Put the functions of this module in the place of the LMS's."""
    for name in REPLACED:
        if not hasattr(compat, name):
            raise AttributeError(f"lti_consumer.plugin.compat has no {name}; the consumer has changed.")
        setattr(compat, name, globals()[name])


def load_enough_xblock(location):
    return Block(location)


def load_block_as_user(location):
    return Block(location)


def get_user_from_external_user_id(external_user_id):
    person = COURSE.person(external_id=external_user_id)
    if person is None:
        raise LtiError("Invalid User")
    return person


def batch_get_or_create_externalids(users):
    # The query set given needs the profile table of the LMS; the people of the course are its users.
    with COURSE.lock:
        return {
            person.id: type("ExternalId", (), {"external_user_id": person.external_id})()
            for person in COURSE.people
        }


def get_course_members(course_key):
    with COURSE.lock:
        return {
            person.id: {
                "id": person.id,
                "username": person.username,
                "email": person.email,
                "name": person.name,
                "roles": [person.role],
            }
            for person in COURSE.people
        }


def get_user_course_forum_role(user_id, course_id):
    return None


def get_course_by_id(course_key):
    return COURSE


def user_course_access(course, user, *args, **kwargs):
    return COURSE.person(username=user.get_username()) is not None


def user_has_access(user, *args, **kwargs):
    return COURSE.person(username=user.get_username()) is not None


def user_has_studio_write_access(user, course_key):
    person = COURSE.person(username=user.get_username())
    return person is not None and person.role in {"instructor", "staff"}

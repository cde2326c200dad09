"""Set the consumer of Open edX up outside an LMS: replaced LMS calls, tables, keys, one configuration."""

import functools

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.apps import apps
from django.conf import settings

from .course import BLOCK_LOCATION, COURSE, COURSE_KEY

AGS_MODES = ("disabled", "declarative", "programmatic")


def remember_parsed_keys():
    """Parse the platform's private key once; the consumer parses it on each request, 200 to 300 ms."""
    from lti_consumer.lti_1p3.key_handlers import PlatformKeyHandler

    parse = PlatformKeyHandler.__init__

    @functools.cache
    def parsed_key(key_pem, kid):
        handler = PlatformKeyHandler.__new__(PlatformKeyHandler)
        parse(handler, key_pem, kid)
        return handler.key

    def remembering_init(self, key_pem, kid=None):
        self.key = parsed_key(key_pem, kid)

    PlatformKeyHandler.__init__ = remembering_init


def page_the_roster():
    """Put a `limit` into the roster's address, so that a tool that follows links meets several pages.

    Open edX pages only when it is asked to, and its own address asks for nothing; a platform that decides on
    pages itself behaves like this one. The paging as such stays Open edX's.
    """
    from lti_consumer import models

    address = models.get_lti_nrps_context_membership_url

    def address_with_limit(configuration_id):
        limit = COURSE.roster_page_size
        return address(configuration_id) + (f"?limit={limit}" if limit else "")

    models.get_lti_nrps_context_membership_url = address_with_limit


def create_tables():
    """Create the tables of every model as `syncdb` did; the migrations need an LMS."""
    from django.db import connection

    with connection.schema_editor() as editor:
        for model in apps.get_models():
            editor.create_model(model)


def create_users():
    """Write a user for each person, so that a launch can sign the person in on the platform."""
    from django.contrib.auth import get_user_model

    users = get_user_model()
    users.objects.all().delete()
    users.objects.bulk_create(
        users(id=person.id, username=person.username, email=person.email, password="!")
        for person in COURSE.people
    )


def configure_tool(tool):
    """Register the tool.

    :param tool: URLs of the tool: login, target (target_link_uri), redirect (list), jwks.
    :return: the stored configuration.
    """
    from lti_consumer.models import Lti1p3Passport, LtiConfiguration
    from opaque_keys.edx.keys import UsageKey

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    passport = Lti1p3Passport.objects.create(
        name="The tool under test",
        context_key=COURSE_KEY,
        lti_1p3_tool_keyset_url=tool["jwks"],
        lti_1p3_internal_private_key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        lti_1p3_internal_private_key_id="openedx-test-key",
    )
    configuration = LtiConfiguration(
        version=LtiConfiguration.LTI_1P3,
        config_store=LtiConfiguration.CONFIG_ON_DB,
        location=UsageKey.from_string(BLOCK_LOCATION),
        lti_1p3_passport=passport,
        lti_1p3_oidc_url=tool["login"],
        lti_1p3_launch_url=tool["target"],
        lti_1p3_redirect_uris=tool["redirect"],
        lti_advantage_enable_nrps=True,
        lti_advantage_deep_linking_enabled=True,
        lti_advantage_deep_linking_launch_url=tool["target"],
        lti_advantage_ags_mode=LtiConfiguration.LTI_ADVANTAGE_AGS_PROGRAMMATIC,
    )
    configuration.save()
    return configuration


def share_personal_data(enabled):
    """Allow or forbid names and e-mail addresses in the roster, by the flag of the course."""
    from lti_consumer.models import CourseAllowPIISharingInLTIFlag
    from opaque_keys.edx.keys import CourseKey

    CourseAllowPIISharingInLTIFlag.objects.create(
        course_id=CourseKey.from_string(COURSE_KEY), enabled=enabled
    )


def personal_data_shared():
    """Return whether the flag is set."""
    from lti_consumer.api import get_lti_pii_sharing_state_for_course
    from opaque_keys.edx.keys import CourseKey

    return get_lti_pii_sharing_state_for_course(CourseKey.from_string(COURSE_KEY))


def set_up(base_url, tool):
    """Bring the platform up.

    :param base_url: own URL, which is the issuer too.
    :param tool: see `configure_tool`.
    :return: a description for the client, JSON values.
    """
    settings.LMS_ROOT_URL = base_url
    django.setup()
    # Importing the consumer needs the settings.
    from . import lms_calls

    lms_calls.replace()
    remember_parsed_keys()
    page_the_roster()
    create_tables()
    create_users()
    configuration = configure_tool(tool)
    share_personal_data(enabled=True)
    return describe(base_url, configuration)


def describe(base_url, configuration):
    """Return what an administrator would copy from the platform into the tool, and the launch URLs."""
    from lti_consumer.utils import (
        get_lms_lti_access_token_link,
        get_lms_lti_keyset_link,
        get_lms_lti_launch_link,
        get_lti_ags_lineitems_url,
        get_lti_nrps_context_membership_url,
    )

    instructor, learner = COURSE.person(role="instructor"), COURSE.person(role="student")
    return {
        "issuer": base_url,
        "client_id": configuration.lti_1p3_client_id,
        "deployment_id": "1",
        "auth_url": get_lms_lti_launch_link(),
        "token_url": get_lms_lti_access_token_link(configuration.passport_id),
        "jwks_url": get_lms_lti_keyset_link(configuration.passport_id),
        "context_id": COURSE_KEY,
        "resource_link_id": BLOCK_LOCATION,
        "lineitems_url": get_lti_ags_lineitems_url(configuration.id),
        "memberships_url": get_lti_nrps_context_membership_url(configuration.id),
        "launch_urls": {
            "instructor": f"{base_url}/launch/{instructor.username}",
            "learner": f"{base_url}/launch/{learner.username}",
        },
        "control_url": f"{base_url}/control",
    }

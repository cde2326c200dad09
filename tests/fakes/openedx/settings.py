"""Django settings of the platform process."""

import os
import pathlib

SECRET_KEY = "only for a throw-away platform on the loopback interface"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "tests.fakes.openedx.urls"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "config_models",
    "lti_consumer",
]
MIDDLEWARE = [
    "tests.fakes.openedx.views.RequestLogMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    # The tiered cache asks who the user is, so it comes after the middleware that sets the user.
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "edx_django_utils.cache.middleware.RequestCacheMiddleware",
    "edx_django_utils.cache.middleware.TieredCacheMiddleware",
]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_NAME = "openedx_session"
# As Open edX itself: the answer to a content selection comes from the tool's site.
SESSION_COOKIE_SAMESITE = "None"
SESSION_COOKIE_SECURE = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": pathlib.Path(os.environ["FAKE_OPENEDX_DATA"], "platform.sqlite3"),
        # The LMS runs every request in a transaction. Each launch writes, hence IMMEDIATE: a transaction
        # that starts by reading could not be upgraded while another one writes.
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        },
    },
}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

# What the LMS defines for the consumer.
PLATFORM_NAME = "Open edX for tests"
LEARNING_MICROFRONTEND_URL = "http://127.0.0.1/learning"
USAGE_ID_PATTERN = r"(?P<usage_id>(?:i4x://?[^/]+/[^/]+/[^/]+/[^@]+(?:@[^/]+)?)|(?:[^/]+))"
LTI_CUSTOM_PARAM_TEMPLATES = {
    "employee_number": "tests.fakes.openedx.course:employee_number_of",
    "username": "tests.fakes.openedx.course:username_of",
}
# LMS_ROOT_URL, the issuer, is set when the port is known.
LMS_ROOT_URL = ""
OPENEDX_TELEMETRY: list[str] = []

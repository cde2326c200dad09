"""Pages of the platform that the LMS would have, and the control endpoint for tests."""

import functools
import json

from django.contrib.auth import get_user_model, login
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse
from lti_consumer.api import get_lti_1p3_content_url, get_lti_1p3_launch_start_url
from lti_consumer.data import Lti1p3LaunchData
from lti_consumer.models import LtiAgsLineItem, LtiAgsScore, LtiConfiguration, LtiDlContentItem
from lti_consumer.utils import resolve_custom_parameter_template

from . import lms
from .course import BLOCK_LOCATION, COURSE, COURSE_KEY, COURSE_ORGANISATION, COURSE_TITLE, Block, Person


class RequestLogMiddleware:
    """Keep what each request to the consumer looked like, without tokens, for the assertions of a test."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if COURSE.outage and request.path.startswith("/api/"):
            # What the server in front of an LMS says while the LMS is down.
            response = HttpResponse("<html>down</html>", status=COURSE.outage)
        else:
            response = self.get_response(request)
        if request.path.startswith("/api/"):
            entry = {
                "method": request.method,
                "path": request.path,
                "query": request.GET.dict() if "launch" not in request.path else {},
                "status": response.status_code,
                "accept": request.headers.get("Accept", ""),
                "content_type": request.headers.get("Content-Type", ""),
            }
            with COURSE.lock:
                COURSE.requests.append(entry)
        return response


def person_or_404(username):
    person = COURSE.person(username=username)
    if person is None:
        raise Http404(f"Nobody called {username} is enrolled.")
    return person


def launch(request, username):
    """Start a launch as this person, the way the block in the courseware page does.

    The query parameter `message=deep_linking` starts content selection instead.
    """
    person = person_or_404(username)
    login(
        request, get_user_model().objects.get(username=username), "django.contrib.auth.backends.ModelBackend"
    )
    launch_data = launch_data_for(person)
    if request.GET.get("message") == "deep_linking":
        return HttpResponseRedirect(get_lti_1p3_launch_start_url(launch_data, deep_link_launch=True))
    return HttpResponseRedirect(get_lti_1p3_content_url(launch_data))


def launch_data_for(person):
    """Build the launch as `LtiConsumerXBlock.get_lti_1p3_launch_data` does."""
    configuration = LtiConfiguration.objects.get(location=BLOCK_LOCATION)
    block = Block(configuration.location, person)
    custom = {
        name: resolve_custom_parameter_template(block, value) if value.startswith("${") else value
        for name, value in COURSE.custom.items()
    }
    shared = COURSE.share_in_launch
    return Lti1p3LaunchData(
        user_id=person.id,
        user_role=person.role,
        config_id=configuration.config_id,
        resource_link_id=BLOCK_LOCATION,
        external_user_id=person.external_id,
        preferred_username=person.username if shared else None,
        name=person.name if shared else None,
        email=person.email if shared else None,
        launch_presentation_document_target="iframe",
        context_id=COURSE_KEY,
        context_type=["course_offering"],
        context_title=f"{COURSE_TITLE} - {COURSE_ORGANISATION}",
        context_label=COURSE_KEY,
        custom_parameters=custom,
    )


def course_page(request, username):
    """Show the block in a frame, as the courseware page does."""
    person_or_404(username)
    return HttpResponse(
        f'<!doctype html><html lang="en"><title>{COURSE_TITLE}</title><h1>{COURSE_TITLE}</h1>'
        f'<iframe title="{COURSE_TITLE}" src="/launch/{username}" width="100%" height="800"></iframe></html>',
    )


def control(request):
    """Read the state (GET) or change the parts given (POST with a JSON object); the answer is the new state.

    Parts: `people` (list of id, username, name, email, role, employee_number, optional external_id), `custom`
    (custom parameters, `${employee_number}` and `${username}` are resolved), `share_in_launch`,
    `share_in_roster`, `past_due`, `ags_mode`, `roster_page_size` (0: the whole roster in one answer, see
    `lms.page_the_roster`), `outage` (status with which every service answers; 0: none),
    `clear` (list of `grades`, `requests`, and as a restored backup would `results`, `line_items`), `reset`
    (true: all as at the start).
    """
    if request.method == "POST":
        try:
            change(json.loads(request.body))
        except (KeyError, TypeError, ValueError) as problem:
            return JsonResponse({"error": repr(problem)}, status=400)
    configuration = LtiConfiguration.objects.get(location=BLOCK_LOCATION)
    return JsonResponse(
        COURSE.state()
        | {
            "share_in_roster": lms.personal_data_shared(),
            "ags_mode": configuration.lti_advantage_ags_mode,
            "content_items": [
                {"type": item.content_type, **item.attributes} for item in LtiDlContentItem.objects.all()
            ],
        },
    )


def change(wanted):
    """Apply the parts of a control request; unknown parts are refused before anything changes."""
    if unknown := set(wanted) - set(CHANGES):
        raise ValueError(f"unknown parts {sorted(unknown)}")
    with COURSE.lock:
        for part, value in wanted.items():
            CHANGES[part](value)


def set_people(people):
    COURSE.people = [Person(**fields) for fields in people]
    lms.create_users()


def set_ags_mode(mode):
    if mode not in lms.AGS_MODES:
        raise ValueError(f"unknown ags_mode {mode}")
    LtiConfiguration.objects.filter(location=BLOCK_LOCATION).update(lti_advantage_ags_mode=mode)


def reset(_wanted):
    COURSE.reset()
    lms.create_users()
    lms.share_personal_data(enabled=True)
    set_ags_mode("programmatic")
    LtiAgsLineItem.objects.all().delete()
    LtiDlContentItem.objects.all().delete()


def clear(names):
    kept = {"results": LtiAgsScore, "line_items": LtiAgsLineItem}
    if set(names) - {"grades", "requests", *kept}:
        raise ValueError(f"cannot clear {names}")
    for name in names:
        if name in kept:
            kept[name].objects.all().delete()
        else:
            getattr(COURSE, name).clear()


CHANGES = {
    "people": set_people,
    "custom": functools.partial(setattr, COURSE, "custom"),
    "share_in_launch": functools.partial(setattr, COURSE, "share_in_launch"),
    "past_due": functools.partial(setattr, COURSE, "past_due"),
    "share_in_roster": lms.share_personal_data,
    "ags_mode": set_ags_mode,
    "roster_page_size": functools.partial(setattr, COURSE, "roster_page_size"),
    "outage": functools.partial(setattr, COURSE, "outage"),
    "clear": clear,
    "reset": reset,
}

"""What a link in a course can show: words and addresses only."""

from dataclasses import dataclass

# Name of the custom parameter that says what a link shows.
VIEW = "view"
# Asked for with each link, so that copies are known where the tool was registered by hand.
HISTORY = {
    "context_id_history": "$Context.id.history",
    "resource_link_id_history": "$ResourceLink.id.history",
}


@dataclass(frozen=True, slots=True)
class Content:
    """One choice of the content picker.

    :ivar title: suggested name of the activity in the course.
    :ivar text: what it is, for the people of the course.
    :ivar path: page that the link opens; None for the start page that fits the person.
    :ivar is_gradable: whether progress towards completion can be its grade.
    """

    title: str
    text: str
    path: str | None = None
    is_gradable: bool = False


CONTENTS = {
    "home": Content(
        "Reverse mentoring",
        "Senior leaders learn from junior and newly joined colleagues. Opens on what to do next.",
        is_gradable=True,
    ),
    "goals": Content("My mentoring goals", "The goals that you set in your pairings.", "/goals"),
    "credits": Content(
        "My mentoring credits", "Your confirmed minutes and what completion needs.", "/credits"
    ),
    "desk": Content(
        "Programme desk", "For those who run the programme: set-up, matching, states.", "/manage"
    ),
}


def path_of_view(view: str | None) -> str | None:
    """Give the page that a link with this custom parameter opens; None for the start page.

    **Touches** pure.
    """
    content = CONTENTS.get(view or "")
    return content.path if content else None

"""Contact hours, and a way that is long enough to learn something on it."""

from collections.abc import Sequence

from rmplugin.api import CreditPolicy, Targets, hookimpl


class SessionsAndSpan(CreditPolicy):
    """A programme may ask for more than this, not for less."""

    key = "sessions_and_span"
    title = "Sessions and span"
    least = Targets(sessions=6, minutes=300, days=90, reflections=1, end_review=True)


@hookimpl
def rm_register_credit_policies() -> Sequence[CreditPolicy]:
    """Bring the policy."""
    return (SessionsAndSpan(),)

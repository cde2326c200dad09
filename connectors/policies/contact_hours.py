"""Hours that two people spent together, as they were."""

from collections.abc import Sequence

from rmplugin.api import CreditPolicy, hookimpl


class ContactHours(CreditPolicy):
    """Sixty minutes are an hour."""

    key = "contact_hours"
    title = "Contact hours"


@hookimpl
def rm_register_credit_policies() -> Sequence[CreditPolicy]:
    """Bring the policy."""
    return (ContactHours(),)

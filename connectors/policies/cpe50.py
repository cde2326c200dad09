"""Continuing professional education: fifty minutes are one credit.

Whether a board accepts it is the sponsor's business; the policy only counts.
"""

from collections.abc import Sequence

from rmplugin.api import CreditPolicy, hookimpl

MINUTES_OF_A_CREDIT = 50
MINUTES_OF_A_STEP = 10


class Cpe50(CreditPolicy):
    """One whole credit first, then steps of a fifth; the sum of all minutes is rounded down."""

    key = "cpe50"
    title = "CPE credits of 50 minutes"
    unit = "cpe50"
    unit_title = "CPE"

    def convert(self, minutes: int) -> int:
        """Give hundredths of a credit. **Source** NASBA/AICPA Standard 16. **Touches** pure."""
        return minutes // MINUTES_OF_A_STEP * 20 if minutes >= MINUTES_OF_A_CREDIT else 0


@hookimpl
def rm_register_credit_policies() -> Sequence[CreditPolicy]:
    """Bring the policy."""
    return (Cpe50(),)

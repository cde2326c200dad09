"""Continuing education units: ten contact hours of sixty minutes are one.

Only accredited providers may call them by the name of the accrediting body; the policy never does.
"""

from collections.abc import Sequence

from rmplugin.api import CreditPolicy, hookimpl

MINUTES_OF_A_TENTH = 60


class Ceu(CreditPolicy):
    """Told in tenths, to the nearest; half a tenth (30 minutes) is the least that there is."""

    key = "ceu"
    title = "Continuing education units (CEU)"
    unit = "ceu"
    unit_title = "CEU"

    def convert(self, minutes: int) -> int:
        """Give hundredths of a unit, in whole tenths. **Source** ANSI/IACET. **Touches** pure."""
        return max(0, (minutes + MINUTES_OF_A_TENTH // 2) // MINUTES_OF_A_TENTH) * 10


@hookimpl
def rm_register_credit_policies() -> Sequence[CreditPolicy]:
    """Bring the policy."""
    return (Ceu(),)

"""What counts as evidence that a session took place. Pure."""

from datetime import datetime, timedelta

from rmplugin.sessions.models import MentoringSession

MAX_MINUTES = 120
MIN_MINUTES = 15
TOLERANCE_MINUTES = 15
# So long after the first word, those whose word is missing are reminded; then the session lapses.
REMIND_AFTER = (timedelta(days=3), timedelta(days=10))
LAPSE = timedelta(days=14)
# A session that both confirmed can be corrected so long.
CORRECT_WITHIN = timedelta(days=14)


def minutes_that_count(first: int, second: int) -> int | None:
    """Decide how many minutes two claims give.

    :param first, second: claimed minutes of the two sides, in any order.
    :return: the lower one, at most 120; 0 when it is under 15; None when they lie more than 15 apart.
    **Source** credit policy: evidence of both sides. **Touches** pure.
    """
    if abs(first - second) > TOLERANCE_MINUTES:
        return None
    lower = min(first, second)
    return min(lower, MAX_MINUTES) if lower >= MIN_MINUTES else 0


def is_lapsed(session: MentoringSession, now: datetime) -> bool:
    """Tell whether a session has waited too long for a word that fits the first. **Touches** pure."""
    waited = session.waits_since is not None and session.waits_since + LAPSE <= now
    return session.state == "lapsed" or (session.state in ("claimed", "disputed") and waited)


def can_ask_attestation(session: MentoringSession, now: datetime) -> bool:
    """Tell whether a session has lapsed, and nobody refused to attest it. **Touches** pure."""
    return is_lapsed(session, now) and session.attest_refused_at is None


def can_correct(session: MentoringSession, now: datetime) -> bool:
    """Tell whether one of the two can still give another length for a session that both confirmed.

    **Touches** pure.
    """
    confirmed = session.confirmed_at if session.attested_at is None else None
    return session.state == "confirmed" and confirmed is not None and now < confirmed + CORRECT_WITHIN

"""Quiet hours: when a mail may reach somebody, in their own zone, also when the clocks change."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

EVENING = 19 * 60
MORNING = 8 * 60
WEEK = (0, 1, 2, 3, 4)
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """When somebody wants no mail.

    :param zone: IANA name that this machine knows.
    :param from_minute, to_minute: local minutes after midnight; equal ones mean that no hour of a working day
        is quiet. From 1140 to 480 is 19:00 to 8:00.
    :param work_days: Monday=0 .. Sunday=6; all other days are quiet. Empty stands for every day.
    """

    zone: str = "UTC"
    from_minute: int = EVENING
    to_minute: int = MORNING
    work_days: Collection[int] = WEEK

    def is_quiet(self, moment: datetime) -> bool:
        """Tell whether a moment is quiet.

        :param moment: aware.
        **Touches** pure.
        """
        local = moment.astimezone(ZoneInfo(self.zone))
        if local.weekday() not in (self.work_days or EVERY_DAY):
            return True
        minute = local.hour * 60 + local.minute
        if self.from_minute <= self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute

    def end_of_quiet(self, now: datetime) -> datetime:
        """Give the first moment from now on that is not quiet: now itself, when it is not.

        :param now: aware UTC.
        :return: aware UTC.
        **Touches** pure.
        """
        if not self.is_quiet(now):
            return now
        return next(moment for moment in self._starts(now, (0, self.to_minute)) if not self.is_quiet(moment))

    def next_round(self, now: datetime) -> datetime:
        """Give the moment of the next daily round: when quiet hours end, or at 8:00 when no hour is quiet.

        :param now: aware UTC.
        :return: aware UTC, later than now.
        **Touches** pure.
        """
        minute = MORNING if self.from_minute == self.to_minute else self.to_minute
        return next(
            start for start in self._starts(now, (minute,)) if start > now and not self.is_quiet(start)
        )

    def _starts(self, now: datetime, minutes: Collection[int]) -> Iterator[datetime]:
        """Yield the moments of these local times from now on, in order."""
        here = ZoneInfo(self.zone)
        today = now.astimezone(here).date()
        for days in range(10):
            day = today + timedelta(days=days)
            found = {
                datetime.combine(day, time(minute // 60, minute % 60, fold=fold), here).astimezone(UTC)
                for minute in minutes
                for fold in (0, 1)
            }
            yield from (moment for moment in sorted(found) if moment >= now)

"""Reads about aims. They are given to the mentor; to the mentee only as far as both agree; to no manager."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import and_, select

from rmplugin.agreements.models import Agreement
from rmplugin.agreements.queries import current_agreement
from rmplugin.aims.models import AimRating, LeadershipAim
from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_pairing_of
from rmplugin.programmes.models import Programme

# Of a pairing's time, this much is over when half-way and the end begin.
MID_FROM, END_FROM = 0.4, 0.85


@dataclass(frozen=True, slots=True)
class AimStory:
    """An aim and its ratings.

    :ivar ratings: (moment, rater) -> rating.
    """

    aim: LeadershipAim
    ratings: Mapping[tuple[str, str], AimRating]

    def change(self, rater: str) -> int | None:
        """Give how much a rater's last rating differs from the first; None before there are two."""
        given = [self.ratings[moment, rater].rating for moment in MOMENTS if (moment, rater) in self.ratings]
        return given[-1] - given[0] if len(given) > 1 else None


MOMENTS: Sequence[str] = ("start", "mid", "end")


def moment_of(begins: date, ends: date, today: date) -> str:
    """Tell which rating it is time for: start, mid or end. **Touches** pure."""
    share = (today - begins) / (ends - begins) if ends > begins else 1.0
    return "start" if share < MID_FROM else "mid" if share < END_FROM else "end"


def moment_in(db: Db, pairing: Pairing, today: date) -> str:
    """Tell which rating it is time for in a pairing, by its agreement, else by its programme.

    **Touches** reads agreement, programme.
    """
    agreement = current_agreement(db, pairing.id)
    ends = agreement.ends_on if agreement else db.get_one(Programme, pairing.programme_id).ends_on
    return moment_of(pairing.started_at.date(), ends, today)


def find_aim(db: Db, pairing_id: uuid.UUID) -> AimStory | None:
    """Give the aim of a pairing's mentor; None before there is one. The caller looks who asks.

    **Touches** reads leadership_aim, aim_rating.
    """
    aim = db.scalars(select(LeadershipAim).where(LeadershipAim.pairing_id == pairing_id)).one_or_none()
    if aim is None:
        return None
    ratings = db.scalars(select(AimRating).where(AimRating.aim_id == aim.id))
    return AimStory(aim, {(row.moment, row.rater): row for row in ratings})


def get_aim_of(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> tuple[AimStory | None, Pairing, str]:
    """Give the aim to one of the two, with the pairing and the person's role.

    The mentee gets it from the moment on when the mentor asks them to observe.
    :raises NotFoundError: the pairing is not theirs, or the mentee was not asked.
    **Touches** reads leadership_aim, aim_rating, pairing.
    """
    pairing = get_pairing_of(db, pairing_id, person_id)
    story, role = find_aim(db, pairing_id), str(pairing.role_of(person_id))
    if role == "mentee" and (story is None or story.aim.observation not in ("asked", "agreed")):
        raise NotFoundError("aim")
    return story, pairing, role


def unrated(db: Db, today: date) -> list[tuple[Pairing, uuid.UUID, str]]:
    """List who could rate an aim half-way or at the end and has not: mentors, and mentees who agreed to it.

    :return: pairing, person and moment.
    **Touches** reads leadership_aim, aim_rating, pairing, agreement, programme.
    """
    query = (
        select(LeadershipAim, Pairing, Programme.ends_on, Agreement.ends_on.label("agreed"))
        .join(Pairing, Pairing.id == LeadershipAim.pairing_id)
        .join(Programme, Programme.id == Pairing.programme_id)
        .outerjoin(Agreement, and_(Agreement.pairing_id == Pairing.id, Agreement.state == "signed"))
        .where(Pairing.state == "active")
    )
    rated = {tuple(row) for row in db.execute(select(AimRating.aim_id, AimRating.moment, AimRating.rater))}
    found = []
    for aim, pairing, ends, agreed in db.execute(query):
        moment = moment_of(pairing.started_at.date(), agreed or ends, today)
        raters = {"mentor": pairing.mentor_id}
        if aim.observation == "agreed":
            raters["mentee"] = pairing.mentee_id
        found += [
            (pairing, person, moment)
            for rater, person in raters.items()
            if moment != "start" and (aim.id, moment, rater) not in rated
        ]
    return found

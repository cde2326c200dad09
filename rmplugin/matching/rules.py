"""What a programme's matching goes by: the values of a rule set, today's defaults, and their reading."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import marshmallow as ma
from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.errors import InputError, NotFoundError
from rmplugin.fields import plain_words
from rmplugin.matching.forms import RuleSetForm
from rmplugin.matching.models import MatchRuleSet
from rmplugin.matching.scoring import Rules, Weights
from rmplugin.programmes.models import Programme
from rmplugin.texts import Text, joined

DAY = timedelta(days=1)
GROUPS = ("rules", "weights", "options")
_FIELDS = {
    group: [name for name, field in RuleSetForm().fields.items() if field.metadata.get("in") == group]
    for group in GROUPS
}


@dataclass(frozen=True)
class Options:
    """What a programme chose beside rules and points.

    :param mentors_per_mentee: most mentors at once of one mentee, whatever the mentee offers to carry.
    :param self_service: people put a short list in order before the first release.
    :param answer_days: days to answer a proposal.
    :param rerun: off, or weekly: whoever waits is matched anew each week, for a manager to release.
    :param kept_bonus: points for a pair that the run before proposed, so that fewer pairs change.
    """

    mentors_per_mentee: int = 3
    self_service: bool = False
    answer_days: int = 14
    rerun: str = "off"
    kept_bonus: int = 0

    @property
    def answer_time(self) -> timedelta:
        """Give the time to answer."""
        return self.answer_days * DAY

    @property
    def last_call(self) -> timedelta | None:
        """Give the time before the end at which people are reminded; None when there is too little for it."""
        left = max(DAY, self.answer_time / 4)
        return left if left < self.answer_time else None


@dataclass(frozen=True)
class RuleBook:
    """One version of the rules of a programme, ready for use.

    :param id: of its row; None while a programme has none and goes by the defaults.
    """

    id: uuid.UUID | None
    version: int
    rules: Rules
    weights: Weights
    objective: str
    options: Options

    def places(self, role: str, capacity: int) -> int:
        """Give how many partners at once somebody may have who can carry so many. **Touches** nothing."""
        return min(capacity, self.options.mentors_per_mentee) if role == "mentee" else capacity


def default_values() -> dict[str, Any]:
    """Give the values of version 1 of a programme that says nothing else. **Touches** nothing."""
    values = asdict(Rules()) | asdict(Weights()) | asdict(Options())
    # The programme's own settings say these two, also when they change.
    values |= {"junior_by_tenure": None, "min_common_minutes": None}
    return {name: values[name] for group in GROUPS for name in _FIELDS[group]} | {
        "objective": "total",
        "note": None,
    }


def values_of(row: MatchRuleSet | None) -> dict[str, Any]:
    """Give the values of a rule set by one name each; what an old one does not say is the default.

    :param row: None for the defaults.
    **Touches** nothing.
    """
    if row is None:
        return default_values()
    kept = {**row.rules, **row.weights, **row.options, "objective": row.objective, "note": row.note}
    values = default_values()
    return values | {name: value for name, value in kept.items() if name in values}


def check_values(programme: Programme, old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes over the values of a rule set, and check the whole.

    :param changes: values by name, also as texts.
    :raises InputError: `details` has a sentence by field.
    **Touches** nothing.
    """
    try:
        values: dict[str, Any] = RuleSetForm().load({**old, **changes})
    except ma.ValidationError as error:
        found = {name: plain_words(faults[0]) for name, faults in error.messages_dict.items()}
        said = joined((Text("%(name)s: %(fault)s", name=name, fault=text) for name, text in found.items()))
        raise InputError(
            "rules_invalid",
            Text("Some values cannot be used. Nothing was changed. %(faults)s", faults=said),
            found,
        ) from error
    if not (values["junior_by_rank"] or _by_tenure(programme, values)):
        why = "A mentor must be junior by grade or by tenure, and this programme knows no way by tenure."
        raise InputError("rules_invalid", why, {"junior_by_rank": why})
    return values


def columns_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sort values into the columns of a rule set's row. **Touches** nothing."""
    groups = {group: {name: values[name] for name in _FIELDS[group]} for group in GROUPS}
    return groups | {"objective": values["objective"], "note": values["note"]}


def read_book(programme: Programme, values: Mapping[str, Any], row: MatchRuleSet | None) -> RuleBook:
    """Make values ready for use.

    :param values: complete, as `check_values` gives them.
    :param row: whose values they are; None when no row holds them.
    **Touches** nothing.
    """
    minutes = values["min_common_minutes"]
    rules = {name: values[name] for name in _FIELDS["rules"]}
    rules |= {
        "junior_by_tenure": _by_tenure(programme, values),
        "min_common_minutes": programme.session_minutes if minutes is None else minutes,
    }
    # Nobody can take the tenure way from a rule set that knows no other by a change of the programme.
    rules["junior_by_rank"] = rules["junior_by_rank"] or not rules["junior_by_tenure"]
    return RuleBook(
        id=row.id if row else None,
        version=row.version if row else 1,
        rules=Rules(**rules),
        weights=Weights(**{name: values[name] for name in _FIELDS["weights"]}),
        objective=values["objective"],
        options=Options(**{name: values[name] for name in _FIELDS["options"]}),
    )


def book_in_force(db: Db, programme: Programme) -> RuleBook:
    """Give what a programme's matching goes by now.

    **Touches** reads match_rule_set.
    """
    row = find_live(db, programme.id)
    return read_book(programme, values_of(row), row)


def find_live(db: Db, programme_id: uuid.UUID) -> MatchRuleSet | None:
    """Find the live rule set; None while the programme goes by the defaults.

    **Touches** reads match_rule_set.
    """
    query = select(MatchRuleSet).where(
        MatchRuleSet.programme_id == programme_id, MatchRuleSet.state == "live"
    )
    return db.scalars(query).one_or_none()


def list_rule_sets(db: Db, programme_id: uuid.UUID) -> Sequence[MatchRuleSet]:
    """List the rule sets of a programme, the newest first.

    **Touches** reads match_rule_set.
    """
    query = select(MatchRuleSet).where(MatchRuleSet.programme_id == programme_id)
    return db.scalars(query.order_by(MatchRuleSet.version.desc())).all()


def get_rule_set(db: Db, programme_id: uuid.UUID, version: int) -> MatchRuleSet:
    """Give one version of a programme's rules.

    :raises NotFoundError: the programme has no such version.
    **Touches** reads match_rule_set.
    """
    query = select(MatchRuleSet).where(
        MatchRuleSet.programme_id == programme_id, MatchRuleSet.version == version
    )
    row = db.scalars(query).one_or_none()
    if row is None:
        raise NotFoundError("rule set", typed=str(version))
    return row


def rule_set_document(row: MatchRuleSet | None) -> dict[str, Any]:
    """Give what `match rules --json` prints of one version.

    :param row: None for the defaults of a programme that has no rule set yet.
    **Touches** nothing.
    """
    columns = columns_of(values_of(row))
    return {
        "version": row.version if row else 1,
        "state": row.state if row else "live",
        **columns,
        "based_on": row.based_on if row else None,
        "created_by": row.created_by if row else None,
        "created_at": row.created_at.isoformat() if row else None,
    }


def _by_tenure(programme: Programme, values: Mapping[str, Any]) -> bool:
    if values["junior_by_tenure"] is None:
        return programme.mentor_max_tenure_months is not None
    return bool(values["junior_by_tenure"])

"""Taking files of skills in, and picking from the catalogue for a programme."""

import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from rmplugin import audit
from rmplugin.db import Db, chunks
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.people.models import Skill
from rmplugin.programmes.models import Programme, ProgrammeSkill
from rmplugin.programmes.operations import is_fixed
from rmplugin.skills import files

FEWEST = 2


@dataclass
class ImportReport:
    """What a file of skills did; `as_json` is the command's JSON.

    :ivar created: skills that are new; `renamed` those whose name changed in their catalogue.
    :ivar adopted: skills of our own of the same name, which now carry the catalogue's code.
    :ivar unchanged: known already, from this catalogue or by the same name from another.
    :ivar skipped: list of {"ref", "field", "reason"}.
    """

    format: str
    scheme: str
    seen: int = 0
    created: int = 0
    renamed: int = 0
    adopted: int = 0
    unchanged: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give the report as a JSON document."""
        return asdict(self)


def import_skills(
    db: Db, text: str, form: str | None, actor: str, now: datetime, scheme: str = "company"
) -> ImportReport:
    """Take a file of skills into the catalogue. Bad rows are listed, the others count; the same file twice is
    as once. Nothing is ever removed: people may have said that they offer it.

    :param text: decoded file.
    :param form: one of `files.FORMATS`; None finds out.
    :param scheme: name of the catalogue, for a company's own file.
    :raises InputError: the columns of the format are not there.
    **Touches** writes skill, audit_entry.
    """
    found, entries = files.read(text, form)
    report = ImportReport(found, scheme if found == "csv" else found)
    known = list(db.scalars(select(Skill)))
    codes = {row.code: row for row in known if row.scheme == report.scheme and row.code}
    names = {row.name.casefold(): row for row in known}
    done: set[str] = set()
    new: list[Skill] = []
    for entry in entries:
        report.seen += 1
        if entry.fault is not None:
            report.skipped.append({"ref": entry.ref, "field": entry.fault[0], "reason": entry.fault[1]})
        elif entry.code not in done:
            # O*NET names every skill once per occupation.
            done.add(entry.code)
            made = _take(entry, report, codes, names)
            if made is not None:
                names[made.name.casefold()] = made
                new.append(made)
    for some in chunks(new, 1000):
        db.add_all(some)
        db.flush()
    facts = {name: getattr(report, name) for name in ("scheme", "created", "renamed", "adopted")}
    audit.record(db, actor, "skills.import", None, now, **facts)
    return report


def _take(
    entry: files.Entry, report: ImportReport, codes: dict[str, Skill], names: dict[str, Skill]
) -> Skill | None:
    """Find what a row means for the catalogue; give the skill when it is new."""
    row, same = codes.get(entry.code), names.get(entry.name.casefold())
    if row is not None:
        if row.name == entry.name or (same is not None and same is not row):
            report.unchanged += 1
        else:
            names.pop(row.name.casefold(), None)
            row.name = entry.name
            names[entry.name.casefold()] = row
            report.renamed += 1
        return None
    if same is None:
        report.created += 1
        return Skill(
            name=entry.name, kind=entry.kind, theme=entry.theme, scheme=report.scheme, code=entry.code
        )
    if same.scheme == "own" and same.code is None:
        same.scheme, same.code = report.scheme, entry.code
        report.adopted += 1
    else:
        report.unchanged += 1
    return None


def pick(db: Db, programme: Programme, skill_ids: Collection[uuid.UUID], actor: str, now: datetime) -> int:
    """Put skills of the catalogue into a programme.

    :return: how many were not in it before.
    :raises NotFoundError: the catalogue has none of that id.
    :raises ConflictError: the programme is archived.
    **Touches** writes programme_skill, audit_entry.
    """
    if programme.state == "archived":
        raise ConflictError("programme_archived", "This programme is archived and can no longer be changed.")
    wanted = set(skill_ids)
    if len(set(db.scalars(select(Skill.id).where(Skill.id.in_(wanted))))) < len(wanted):
        raise NotFoundError("skill")
    here = select(ProgrammeSkill.skill_id).where(ProgrammeSkill.programme_id == programme.id)
    new = sorted(wanted - set(db.scalars(here)))
    db.add_all(ProgrammeSkill(programme_id=programme.id, skill_id=skill_id) for skill_id in new)
    if new:
        audit.record(db, actor, "programme.pick_skills", programme.id, now, picked=len(new))
    return len(new)


def drop(db: Db, programme: Programme, skill_id: uuid.UUID, actor: str, now: datetime) -> None:
    """Take a skill out of a programme to which nobody was invited yet.

    :raises ConflictError: somebody was invited, and may have chosen it.
    :raises InputError: it is one of the last two.
    **Touches** writes programme_skill, audit_entry.
    """
    if is_fixed(db, programme):
        raise ConflictError(
            "programme_fixed", "Somebody was invited, and may have chosen it. Nothing was changed."
        )
    here = select(ProgrammeSkill.skill_id).where(ProgrammeSkill.programme_id == programme.id)
    if len(set(db.scalars(here)) - {skill_id}) < FEWEST:
        raise InputError(
            "skills_few", "At least two skills must stay, so that there is something to offer and to want."
        )
    mine = (ProgrammeSkill.programme_id == programme.id, ProgrammeSkill.skill_id == skill_id)
    db.execute(delete(ProgrammeSkill).where(*mine))
    audit.record(db, actor, "programme.drop_skill", programme.id, now)

"""Pages of the catalogue: the administrator takes files in, the manager picks for a programme."""

import uuid

from rmplugin import web
from rmplugin.errors import InputError
from rmplugin.programmes import queries as programmes
from rmplugin.programmes.catalogue import THEMES
from rmplugin.programmes.operations import is_fixed
from rmplugin.skills import files, forms, operations, queries
from rmplugin.texts import Text, joined
from rmplugin.web import Role, Visit

pages = web.Pages("skills", __name__)


@pages.get("/admin/skills", role=Role.ADMINISTRATOR)
def catalogue(visit: Visit) -> web.Answer:
    """Show which catalogues there are, and take in a file."""
    counts = queries.count_by_scheme(visit.db)
    return web.render("skills/catalogue.html", visit, counts=counts, formats=files.FORMATS)


@pages.post("/admin/skills", role=Role.ADMINISTRATOR, on_input_error=catalogue)
def import_file(visit: Visit) -> web.Answer:
    """Take a file into the catalogue."""
    values = web.load_form(forms.FileForm())
    text = web.read_upload("file")
    report = operations.import_skills(
        visit.db, text, values["form"], visit.actor, visit.now, values["scheme"]
    )
    return web.go("skills.catalogue", _said(report))


def _said(report: operations.ImportReport) -> Text:
    parts = [
        Text(
            "%(created)s skills are new, %(renamed)s have a new name, %(adopted)s of our own have a code; "
            "%(unchanged)s were known.",
            created=report.created,
            renamed=report.renamed,
            adopted=report.adopted,
            unchanged=report.unchanged,
        )
    ]
    if report.skipped:
        first = report.skipped[0]
        told = "%(n)s rows were left out; the first is %(ref)s: %(field)s %(reason)s."
        facts = {name: first[name] for name in ("ref", "field", "reason")}
        parts.append(Text(told, n=len(report.skipped), **facts))
    return joined(parts)


@pages.get("/programmes/<uuid:programme_id>/skills", role=Role.MANAGER)
def programme_skills(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the skills of a programme, and find more of them in the catalogue."""
    found = programmes.get_managed_programme(visit.db, programme_id, visit.session.context_id)
    text = web.load_query(forms.SearchQuery())["q"]
    return web.render(
        "skills/programme.html",
        visit,
        programme=found,
        skills=programmes.skills_of_programme(visit.db, found.id),
        hits=queries.search(visit.db, found.id, text),
        q=text,
        counts=queries.count_by_scheme(visit.db),
        themes=THEMES,
        fixed=is_fixed(visit.db, found),
        most=queries.FOUND_SHOWN,
    )


@pages.post("/programmes/<uuid:programme_id>/skills", role=Role.MANAGER, on_input_error=programme_skills)
def pick(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Put the ticked skills into the programme."""
    found = programmes.get_managed_programme(visit.db, programme_id, visit.session.context_id)
    values = web.load_form(forms.PickForm())
    if not values["skills"]:
        raise InputError("nothing_ticked", "Nothing is ticked, so nothing was changed.")
    picked = operations.pick(visit.db, found, values["skills"], visit.actor, visit.now)
    said = Text("%(n)s skills are added.", n=picked)
    return web.go("skills.programme_skills", said, programme_id=found.id, q=values["q"] or None)


@pages.post("/programmes/<uuid:programme_id>/skills/drop", role=Role.MANAGER, on_input_error=programme_skills)
def drop(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Take a skill out of the programme."""
    found = programmes.get_managed_programme(visit.db, programme_id, visit.session.context_id)
    skill_id = web.load_form(forms.DropForm())["skill"]
    operations.drop(visit.db, found, skill_id, visit.actor, visit.now)
    return web.go("skills.programme_skills", "The skill is taken out.", programme_id=found.id)

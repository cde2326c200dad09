"""Pages of papers: one's own to download and to share, the manager's numbers, and what the public may ask."""

import uuid

import flask

from rmplugin import formats, web
from rmplugin.credits.queries import completion_of, get_person_of_course
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.papers import forms, keys, operations, queries, tasks
from rmplugin.programmes.queries import get_managed_programme, get_programme
from rmplugin.texts import texts
from rmplugin.web import Role, Visit

pages = web.Pages("papers", __name__)
# How a file is called in a choice of several.
FORMS = texts(
    {
        "pdf": "Download as PDF",
        "json": "Download as JSON, for a wallet",
        "png": "Download as a picture (PNG)",
        "svg": "Download as a picture (SVG)",
    }
)


@pages.get("/programmes/<uuid:programme_id>/papers", role=Role.PARTICIPANT)
def own_papers(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show somebody what they may take along from a programme, and what the public page of it shows."""
    programme = get_programme(visit.db, programme_id)
    papers = queries.papers_of(visit.db, programme_id, visit.person_id)
    completion = completion_of(visit.db, programme_id, visit.person_id)
    if not papers and completion is None:
        raise NotFoundError("paper")
    return web.render(
        "papers/papers.html",
        visit,
        programme=programme,
        papers=[
            (paper, queries.verify_address(visit.runtime.settings.public_url, paper.id)) for paper in papers
        ],
        is_met=completion is not None and completion.met_at is not None,
        makers=visit.runtime.plugins.papers.values(),
        words=FORMS,
        showable=forms.SHOWABLE,
        current="/credits",
    )


@pages.download("/papers/<uuid:paper_id>/<maker>/<form>", role=Role.PARTICIPANT)
def download(visit: Visit, paper_id: uuid.UUID, maker: str, form: str) -> web.Answer:
    """Give a paper as a file."""
    paper = queries.get_own_paper(visit.db, paper_id, visit.person_id)
    sink = visit.runtime.plugins.papers.get(maker)
    if sink is None or form not in sink.forms:
        raise NotFoundError("paper")
    if paper.state != "valid":
        raise ConflictError("paper_not_valid", "This paper is not valid any more, so it is not given out.")
    language = formats.language_of_page()
    record = queries.record_of(visit.db, paper, visit.runtime.settings.public_url, language, web.say)
    made = sink.make(record, keys.issuer_of(visit.runtime, visit.tenant_id), form)
    answer = flask.make_response(made)
    answer.headers["Content-Type"] = sink.forms[form]
    answer.headers["Content-Disposition"] = f'attachment; filename="reverse-mentoring-{maker}.{form}"'
    return answer


@pages.post("/papers/<uuid:paper_id>/shows", role=Role.PARTICIPANT)
def show(visit: Visit, paper_id: uuid.UUID) -> web.Answer:
    """Take what the public page of somebody's paper may show."""
    paper = queries.get_own_paper(visit.db, paper_id, visit.person_id)
    operations.show(visit.db, paper, web.load_form(forms.ShowForm())["shows"], visit.now)
    return web.go(
        "papers.own_papers", "The public page shows that, and nothing else.", programme_id=paper.programme_id
    )


@pages.get("/manage/programmes/<uuid:programme_id>/papers", role=Role.MANAGER)
def counts(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the manager how many papers a programme has given out: numbers, no names."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    found = queries.count_papers(visit.db, programme.id)
    return web.render(
        "papers/counts.html", visit, programme=programme, counts=found, total=found.total(), current="/manage"
    )


@pages.get("/people/<uuid:person_id>/papers", role=Role.MANAGER)
def person_papers(visit: Visit, person_id: uuid.UUID) -> web.Answer:
    """Show the manager whether somebody's papers are valid, to revoke one that was issued in error."""
    person = get_person_of_course(visit.db, person_id, visit.session.context_id)
    visit.note_access(person.id)
    return web.render(
        "papers/person.html",
        visit,
        person=person,
        papers=queries.papers_in_course(visit.db, person.id, visit.session.context_id),
        current="/manage",
    )


@pages.get("/papers/<uuid:paper_id>/revoke", role=Role.MANAGER)
def revoke_page(visit: Visit, paper_id: uuid.UUID) -> web.Answer:
    """Ask the manager why a paper is revoked."""
    paper = queries.get_paper(visit.db, paper_id)
    programme = get_managed_programme(visit.db, paper.programme_id, visit.session.context_id)
    person = get_person_of_course(visit.db, paper.person_id, visit.session.context_id)
    visit.note_access(person.id)
    return web.render(
        "papers/revoke.html",
        visit,
        paper=paper,
        programme=programme,
        person=person,
        most=forms.REASON_LENGTH,
        current="/manage",
    )


@pages.post("/papers/<uuid:paper_id>/revoke", role=Role.MANAGER, on_input_error=revoke_page)
def revoke(visit: Visit, paper_id: uuid.UUID) -> web.Answer:
    """Revoke a paper."""
    paper = queries.get_paper(visit.db, paper_id)
    get_managed_programme(visit.db, paper.programme_id, visit.session.context_id)
    reason = web.load_form(forms.RevokeForm())["reason"]
    operations.revoke(visit.db, paper, reason, visit.actor, visit.now)
    return web.go(
        "papers.person_papers", "The paper is revoked, and its holder is told.", person_id=paper.person_id
    )


@pages.get("/verify/<paper_id>", role=Role.PUBLIC)
def verify(paper_id: str) -> web.Answer:
    """Tell anybody whether a paper is valid, and what its holder lets it show."""
    found = tasks.read_public(web.get_runtime(), paper_id)
    answer = flask.make_response(web.render("papers/verify.html", None, found=found), 200 if found else 404)
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


@pages.get("/papers/status/<uuid:tenant_id>", role=Role.PUBLIC)
def status_list(tenant_id: uuid.UUID) -> web.Answer:
    """Give programs a company's signed list of revoked papers."""
    found = tasks.read_status_list(web.get_runtime(), tenant_id)
    if found is None:
        raise NotFoundError("paper")
    answer = flask.jsonify(found)
    # "application/vc" is newer, but some verifiers take only what says that it is JSON.
    answer.mimetype = "application/vc+ld+json"
    return answer


@pages.get("/.well-known/did.json", role=Role.PUBLIC)
def did_document() -> web.Answer:
    """Give programs the issuer's public key."""
    issuer = keys.issuer_of(web.get_runtime(), uuid.UUID(int=0))
    answer = flask.jsonify(issuer.document())
    answer.mimetype = "application/did+json"
    return answer

"""Pages of leaving: the end of a pairing, what comes next, thanks, and the record that each person owns."""

import uuid

import flask

from rmplugin import formats, web
from rmplugin.errors import ConflictError
from rmplugin.leaving import documents, forms, operations, queries, words
from rmplugin.matching.ending import NEUTRAL_ENDED, end_pairing
from rmplugin.matching.forms import CLOSURE_REASONS
from rmplugin.matching.models import LIVE
from rmplugin.matching.queries import get_pairing_of
from rmplugin.notes.views import outcomes_of, words_of
from rmplugin.people.queries import display_names
from rmplugin.programmes.forms import LONGEST_PAUSE_WEEKS
from rmplugin.programmes.queries import find_enrolment, get_managed_programme, get_programme
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("leaving", __name__)

LENGTHS = range(2, LONGEST_PAUSE_WEEKS + 1)
WEEKS = [(1, Text("one week")), *((n, Text("%(n)s weeks", n=n)) for n in LENGTHS)]


@pages.get("/pairings/<uuid:pairing_id>/end", role=Role.PARTICIPANT)
def end_page(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """Show the one screen on which either of the two can end a pairing."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    if pairing.state not in LIVE:
        raise ConflictError(
            "already_ended", "This pairing has ended already. There is nothing more that you need to do."
        )
    names = display_names(visit.db, {pairing.mentor_id, pairing.mentee_id})
    return web.render(
        "leaving/end.html",
        visit,
        pairing=pairing,
        partner=names[pairing.partner_of(visit.person_id)],
        words_for_partner=Text(NEUTRAL_ENDED, name=names[visit.person_id]),
        reasons=CLOSURE_REASONS,
        most=forms.MOST_REASONS,
        choices=forms.NEXT_CHOICES,
        weeks=WEEKS,
    )


@pages.post("/pairings/<uuid:pairing_id>/end", role=Role.PARTICIPANT, on_input_error=end_page)
def end(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """End a pairing."""
    given = web.load_form(forms.EndForm())
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    end_pairing(
        visit.db,
        pairing,
        visit.person_id,
        given["reasons"],
        given["next_choice"],
        visit.now,
        given["weeks"],
    )
    said = {
        "rematch": "The pairing has ended. You are in the pool; the next matching looks for a new partner.",
        "pause": "The pairing has ended. You pause, and then you are in the pool again by yourself.",
        "leave": "The pairing has ended and you have left the programme. Your credits stay yours.",
    }[given["next_choice"]]
    return web.go("leaving.parting", said, pairing_id=pairing_id)


@pages.get("/pairings/<uuid:pairing_id>/parting", role=Role.PARTICIPANT)
def parting(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """Show what comes after a pairing: what is next, thanks, and the record. Both of the two see the same."""
    me = visit.person_id
    pairing = get_pairing_of(visit.db, pairing_id, me)
    partner_id = pairing.partner_of(me)
    names = display_names(visit.db, {partner_id})
    enrolment = find_enrolment(visit.db, pairing.programme_id, me)
    programme = get_programme(visit.db, pairing.programme_id)
    # Nobody is matched in a programme that is over.
    state = enrolment.state if enrolment and programme.state != "archived" else None
    until = enrolment.paused_until if enrolment else None
    return web.render(
        "leaving/parting.html",
        visit,
        pairing=pairing,
        partner=names[partner_id],
        programme=programme,
        is_live=pairing.state in LIVE,
        chooses=pairing.state == "ended" and state in ("submitted", "paused"),
        has_left=pairing.state == "ended" and state == "withdrawn",
        choice="pause" if until else "rematch",
        until=until,
        choices=forms.NEXT_CHOICES,
        weeks=WEEKS,
        given=queries.thanks_given(visit.db, pairing.id, me),
        may_thank=operations.may_thank(visit.db, pairing, me),
        kudos=queries.kudos_of(visit.db, me, [pairing.id], names),
        most=forms.THANKS_LENGTH,
    )


@pages.post("/pairings/<uuid:pairing_id>/parting", role=Role.PARTICIPANT, on_input_error=parting)
def choose_next(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """Take what somebody wants after a pairing."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    given = web.load_form(forms.NextForm())
    operations.choose_next(
        visit.db, pairing, visit.person_id, given["next_choice"], given["weeks"], visit.now
    )
    said = {
        "rematch": "You are in the pool; the next matching looks for a new partner.",
        "pause": "You pause, and then you are in the pool again by yourself.",
        "leave": "You have left the programme. Your credits stay yours.",
    }[given["next_choice"]]
    return web.go("leaving.parting", said, pairing_id=pairing_id)


@pages.post("/pairings/<uuid:pairing_id>/parting/thanks", role=Role.PARTICIPANT, on_input_error=parting)
def thank(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """Thank the partner."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    text = web.load_form(forms.ThanksForm())["text"]
    thanks = operations.thank(visit.db, pairing, visit.person_id, text, visit.now)
    said = "Your thank-you is delivered." if thanks.delivered_at else "Your thank-you arrives tomorrow."
    return web.go("leaving.parting", said, pairing_id=pairing_id)


@pages.post("/thanks/<uuid:thanks_id>/keep", role=Role.PARTICIPANT)
def keep_thanks(visit: Visit, thanks_id: uuid.UUID) -> web.Answer:
    """Take a thank-you into one's own record, or out of it."""
    keep = web.load_form(forms.KeepForm())["keep"]
    thanks = operations.keep_thanks(visit.db, thanks_id, visit.person_id, keep=keep)
    said = "It is in your record." if keep else "It is no longer in your record."
    return web.go("leaving.parting", said, pairing_id=thanks.pairing_id)


@pages.get("/programmes/<uuid:programme_id>/record", role=Role.PARTICIPANT)
def record(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show what somebody reached in a programme: their own words and numbers, theirs to keep."""
    found = queries.record_of(visit.db, programme_id, visit.person_id)
    return web.render(
        "leaving/record.html",
        visit,
        record=found,
        done=_done(visit, found),
        levels=words.LEVELS,
        current="/home",
    )


@pages.download("/programmes/<uuid:programme_id>/record.pdf", role=Role.PARTICIPANT)
def download_record(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Give the same as a PDF."""
    found = queries.record_of(visit.db, programme_id, visit.person_id)
    lines = [
        (kind, web.say(text)) for kind, text in words.lines_of(found, _done(visit, found), formats.local_day)
    ]
    pdf = documents.make_pdf(
        lines,
        title=lines[0][1],
        author=found.name,
        language=formats.language_of_page(),
        at=visit.now,
    )
    answer = flask.make_response(pdf)
    answer.headers["Content-Type"] = "application/pdf"
    answer.headers["Content-Disposition"] = 'attachment; filename="reverse-mentoring.pdf"'
    return answer


def _done(visit: Visit, found: queries.Record) -> list[tuple[str, str]]:
    said, became = words_of(visit, found.done), outcomes_of(visit, found.done)
    return [(said[item.id], became[item.id]) for item in found.done]


@pages.get("/manage/programmes/<uuid:programme_id>/ends", role=Role.MANAGER)
def ends(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the manager how pairs end, in numbers about five pairs and more."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    return web.render(
        "leaving/ends.html",
        visit,
        programme=programme,
        ends=queries.ends_of(visit.db, programme.id, visit.now),
        reasons=dict(CLOSURE_REASONS),
        current="/manage",
    )

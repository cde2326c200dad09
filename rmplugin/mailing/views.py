"""Pages: how I am told, what a programme's mails look like, its news, and what became of mails."""

import uuid
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import marshmallow as ma

from rmplugin import languages, web
from rmplugin.errors import InputError, NotFoundError
from rmplugin.fields import plain_words
from rmplugin.formats import language_name
from rmplugin.mailing import forms, operations, queries, store, tasks
from rmplugin.mailing.catalogue import GROUP_HINTS, GROUPS, KINDS, SERVICE, WAYS, find_kind
from rmplugin.mailing.models import NewsChannel
from rmplugin.programmes.queries import get_managed_programme
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("mailing", __name__)

NO_ADDRESS = "Neither the staff list nor your learning platform says your mail address, so nothing was sent."


# ---- how I am told ----


@pages.get("/notifications", role=Role.PARTICIPANT)
def notifications(visit: Visit) -> web.Answer:
    """Show how the person is told, and let them choose."""
    wishes = queries.wishes_of(visit.db, [visit.person_id])[visit.person_id]
    names = [(language, language_name(language)) for language in languages.translated()]
    return web.render(
        "mailing/notifications.html",
        visit,
        wishes=wishes,
        groups=GROUPS,
        hints=GROUP_HINTS,
        ways=list(WAYS.items()),
        service=SERVICE,
        languages=[("", Text("The language of my last visit")), *names],
        is_reachable=bool(queries.reachable(visit.db, [visit.person_id])),
        has_mail=visit.runtime.settings.smtp_url is not None,
        clock=_clock,
    )


@pages.post("/notifications", role=Role.PARTICIPANT, on_input_error=notifications)
def choose(visit: Visit) -> web.Answer:
    """Keep how the person wants to be told."""
    values = web.load_form(forms.ChoiceForm())
    language = values["language"]
    chosen = {
        "ways": {group: values[f"way_{group}"] for group in GROUPS if group != SERVICE},
        "quiet_from_minute": values["quiet_from"].hour * 60 + values["quiet_from"].minute,
        "quiet_to_minute": values["quiet_to"].hour * 60 + values["quiet_to"].minute,
        "language": language if language in languages.translated() else None,
    }
    operations.choose(visit.db, visit.person_id, chosen, visit.now)
    return web.go("mailing.notifications", "Your choice is kept.")


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


# ---- one click in a mail, without a login ----


@pages.get("/mails/stop/<token>", role=Role.PUBLIC)
def ask_stop(token: str) -> web.Answer:
    """Show what the link of a mail would switch off; nothing is changed, because programs open links, too."""
    _tenant, _person, groups = store.read_stop_token(_secret(), token)
    return web.render("mailing/stop.html", None, groups=_names(groups), token=token, done=False)


@pages.post("/mails/stop/<token>", role=Role.PUBLIC)
def stop(token: str) -> web.Answer:
    """Switch mails off, for a person or for their mail program. **Source** RFC 8058, section 3.2."""
    runtime = web.get_runtime()
    tenant_id, person_id, groups = store.read_stop_token(_secret(), token)
    with runtime.database.transaction(tenant_id) as db:
        if person_id in queries.wishes_of(db, [person_id]):
            groups = operations.switch_off(db, person_id, groups, runtime.clock())
    return web.render("mailing/stop.html", None, groups=_names(groups), token=token, done=True)


def _secret() -> str:
    return str(web.get_runtime().settings.secret_key)


def _names(groups: list[str]) -> list[Text]:
    return [GROUPS[group] for group in groups if group in GROUPS]


# ---- a programme's manager: what mails look like ----


@pages.get("/programmes/<uuid:programme_id>/mails", role=Role.MANAGER)
def programme_mails(visit: Visit, programme_id: UUID) -> web.Answer:
    """List every kind of mail, and say where the button leads."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    setup = queries.find_setup(visit.db, programme.id)
    kinds = [(group, [(key, kind) for key, kind in KINDS.items() if kind.group == group]) for group in GROUPS]
    return web.render(
        "mailing/programme_mails.html",
        visit,
        programme=programme,
        kinds=kinds,
        groups=GROUPS,
        entered=(setup.activity_url if setup else None) or "",
        url=queries.activity_url(
            visit.db, programme, visit.runtime.plugins.quirks_of, visit.runtime.settings.public_url
        ),
        has_mail=visit.runtime.settings.smtp_url is not None,
        current="/manage",
    )


@pages.post("/programmes/<uuid:programme_id>/mails", role=Role.MANAGER, on_input_error=programme_mails)
def set_activity_url(visit: Visit, programme_id: UUID) -> web.Answer:
    """Keep where the button of the programme's mails leads."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    url = web.load_form(forms.ActivityForm())["activity_url"]
    operations.set_activity_url(visit.db, programme, url, visit.actor, visit.now)
    return web.go("mailing.programme_mails", "The address is kept.", programme_id=programme_id)


@pages.get("/programmes/<uuid:programme_id>/mails/<kind>", role=Role.MANAGER)
def preview(visit: Visit, programme_id: UUID, kind: str) -> web.Answer:
    """Show a kind of mail with sample names, in every language."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    if kind not in KINDS:
        raise NotFoundError("mail")
    post = _post(visit)
    drafts = [
        (language, language_name(language), store.sample(kind, language, post))
        for language in languages.translated()
    ]
    return web.render(
        "mailing/preview.html",
        visit,
        programme=programme,
        kind=kind,
        group=GROUPS[find_kind(kind).group],
        title=find_kind(kind).subject,
        drafts=drafts,
        sender=post.sender,
        own=queries.own_address(visit.db, visit.session.person_id, visit.session.lti_user_id),
        has_mail=visit.runtime.settings.smtp_url is not None,
        current="/manage",
    )


@pages.post("/programmes/<uuid:programme_id>/mails/<kind>", role=Role.MANAGER, on_input_error=preview)
def send_test(visit: Visit, programme_id: UUID, kind: str) -> web.Answer:
    """Send the manager a sample of a mail."""
    get_managed_programme(visit.db, programme_id, visit.session.context_id)
    if kind not in KINDS:
        raise NotFoundError("mail")
    language = web.load_form(forms.TestMailForm())["language"]
    address = queries.own_address(visit.db, visit.session.person_id, visit.session.lti_user_id)
    if address is None:
        raise InputError("no_address", NO_ADDRESS, {"form": NO_ADDRESS})
    operations.send_test(visit.db, address, kind, language, visit.actor, visit.now)
    return web.go(
        "mailing.preview", "The test mail is on its way to you.", programme_id=programme_id, kind=kind
    )


def _post(visit: Visit) -> store.Post:
    return tasks.make_post(visit.runtime.settings, visit.runtime.plugins)


# ---- a programme's news ----


@pages.get("/programmes/<uuid:programme_id>/news", role=Role.MANAGER)
def programme_news(visit: Visit, programme_id: UUID) -> web.Answer:
    """Show what was told, and the channels that it goes to."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    notifiers = visit.runtime.plugins.news
    return web.render(
        "mailing/programme_news.html",
        visit,
        programme=programme,
        news=queries.list_news(visit.db, programme.id),
        channels=queries.list_channels(visit.db, programme.id),
        notifiers=[(key, one.title) for key, one in sorted(notifiers.items())],
        titles={key: one.title for key, one in notifiers.items()},
        people=len(queries.people_of(visit.db, programme.id)),
        current="/manage",
    )


@pages.post("/programmes/<uuid:programme_id>/news", role=Role.MANAGER, on_input_error=programme_news)
def tell_news(visit: Visit, programme_id: UUID) -> web.Answer:
    """Tell everybody in the programme something."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    operations.tell_news(visit.db, programme, web.load_form(forms.NewsForm()), visit.actor, visit.now)
    return web.go("mailing.programme_news", "Everybody is told.", programme_id=programme_id)


@pages.post("/programmes/<uuid:programme_id>/news/channels", role=Role.MANAGER, on_input_error=programme_news)
def add_channel(visit: Visit, programme_id: UUID) -> web.Answer:
    """Let the programme's news go to a channel, too, and try it."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    values = web.load_form(forms.ChannelForm())
    settings = _load_settings(visit, values)
    secrets = visit.runtime.database.secrets
    channel = operations.add_channel(visit.db, programme, values, settings, secrets, visit.actor, visit.now)
    operations.try_channel(visit.db, channel, visit.now)
    return web.go(
        "mailing.programme_news",
        "The channel is kept. A first post is on its way there.",
        programme_id=programme_id,
    )


def _load_settings(visit: Visit, values: Mapping[str, Any]) -> dict[str, Any]:
    notifier = visit.runtime.plugins.news.get(values["notifier"])
    if notifier is None:
        text = "Please choose where the channel is."
        raise InputError("unknown_notifier", text, {"notifier": text})
    try:
        return dict(notifier.settings_schema().load({"url": values["url"]}))
    except ma.ValidationError as error:
        fault = next(iter(error.messages_dict.values()))
        text = plain_words(fault[0] if isinstance(fault, list) else "The address cannot be used.")
        raise InputError("bad_address", text, {"url": text}) from error


@pages.post("/news/channels/<uuid:news_channel_id>/try", role=Role.MANAGER)
def try_channel(visit: Visit, news_channel_id: UUID) -> web.Answer:
    """Post a sample into a channel."""
    channel = _managed_channel(visit, news_channel_id)
    operations.try_channel(visit.db, channel, visit.now)
    return web.go("mailing.programme_news", "A post is on its way there.", programme_id=channel.programme_id)


@pages.post("/news/channels/<uuid:news_channel_id>/remove", role=Role.MANAGER)
def remove_channel(visit: Visit, news_channel_id: UUID) -> web.Answer:
    """Send no more news to a channel."""
    channel = _managed_channel(visit, news_channel_id)
    operations.remove_channel(visit.db, channel, visit.actor, visit.now)
    return web.go(
        "mailing.programme_news", "The channel gets no more news.", programme_id=channel.programme_id
    )


def _managed_channel(visit: Visit, news_channel_id: uuid.UUID) -> NewsChannel:
    channel = queries.get_channel(visit.db, news_channel_id)
    get_managed_programme(visit.db, channel.programme_id, visit.session.context_id)
    return channel


@pages.get("/news/<uuid:news_id>", role=Role.PARTICIPANT)
def news_page(visit: Visit, news_id: UUID) -> web.Answer:
    """Show news of a programme to somebody in it."""
    news = queries.get_news_for(visit.db, news_id, visit.person_id)
    return web.render("mailing/news.html", visit, news=news, current="/home")


# ---- the administrator ----


@pages.get("/admin/mails", role=Role.ADMINISTRATOR)
def admin_mails(visit: Visit) -> web.Answer:
    """Show what waits, what was given up and why, and which addresses refuse."""
    settings = visit.runtime.settings
    return web.render(
        "mailing/admin.html",
        visit,
        has_mail=settings.smtp_url is not None,
        sender=_post(visit).sender,
        counts=queries.count_mails(visit.db),
        unsent=queries.list_unsent(visit.db),
        blocked=queries.list_blocked(visit.db),
        find_kind=find_kind,
        now=visit.now,
    )


@pages.post("/admin/mails/again", role=Role.ADMINISTRATOR)
def try_again(visit: Visit) -> web.Answer:
    """Try again what was given up."""
    count = operations.try_again(visit.db, visit.actor, visit.now)
    return web.go("mailing.admin_mails", Text("%(count)s mails are tried again.", count=count))


@pages.post("/admin/mails/addresses/<uuid:blocked_address_id>/unblock", role=Role.ADMINISTRATOR)
def unblock(visit: Visit, blocked_address_id: UUID) -> web.Answer:
    """Send mails to an address again."""
    blocked = queries.get_blocked(visit.db, blocked_address_id)
    operations.unblock(visit.db, blocked, visit.actor, visit.now)
    return web.go("mailing.admin_mails", "The address gets mails again.")

"""Programme news in a Slack channel, by an incoming webhook."""

from collections.abc import Mapping, Sequence
from typing import Any

import marshmallow as ma

from connectors.channels import address_field, post_json
from rmplugin.api import NewsNotifier, NewsPost, NotifierAnswer, hookimpl

# Slack cuts off at these lengths, or refuses.
HEADER, SECTION, BUTTON = 150, 3000, 75


class SlackSettings(ma.Schema):
    """The webhook's address."""

    url = address_field(
        ("hooks.slack.com", "hooks.slack-gov.com"), "https://hooks.slack.com/services/T…/B…/…"
    )


class Slack:
    """A Slack channel."""

    key = "slack"
    title = "Slack"
    settings_schema: type[ma.Schema] = SlackSettings

    def post(self, settings: Mapping[str, Any], post: NewsPost) -> NotifierAnswer:
        """Post the news as blocks, with a line for notifications beside them."""
        button = {
            "type": "button",
            "text": {"type": "plain_text", "text": post.button[:BUTTON]},
            "url": post.url,
        }
        body = {
            "text": _plain(post.title),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": post.title[:HEADER]}},
                {"type": "section", "text": {"type": "mrkdwn", "text": _plain(post.text)[:SECTION]}},
                {"type": "actions", "elements": [button]},
            ],
        }
        return post_json(self.title, settings["url"], body, is_sent=lambda reply: reply.body.strip() == b"ok")


def _plain(text: str) -> str:
    """Keep people's words from being read as mentions and links. **Source** Slack, "Formatting text"."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@hookimpl
def rm_register_notifiers() -> Sequence[NewsNotifier]:
    """Bring Slack."""
    return (Slack(),)

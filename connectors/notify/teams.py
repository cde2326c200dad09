"""Programme news in a Microsoft Teams channel, by a workflow "When a Teams webhook request is received"."""

from collections.abc import Mapping, Sequence
from typing import Any

import marshmallow as ma

from connectors.channels import address_field, post_json
from rmplugin.api import NewsNotifier, NewsPost, NotifierAnswer, hookimpl

CARD = "application/vnd.microsoft.card.adaptive"


class TeamsSettings(ma.Schema):
    """The workflow's address. It belongs to the person who made the workflow, and ends with their account."""

    url = address_field(
        (".logic.azure.com", ".logic.azure.us", ".api.powerplatform.com", ".api.powerplatform.us"),
        "https://….logic.azure.com/workflows/…",
    )


class Teams:
    """A Teams channel. The retired Office connectors are not spoken to."""

    key = "teams"
    title = "Microsoft Teams"
    settings_schema: type[ma.Schema] = TeamsSettings

    def post(self, settings: Mapping[str, Any], post: NewsPost) -> NotifierAnswer:
        """Post the news as an Adaptive Card, the one thing that a workflow takes."""
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [
                {
                    "type": "TextBlock",
                    "text": _plain(post.title),
                    "weight": "Bolder",
                    "size": "Medium",
                    "wrap": True,
                },
                {"type": "TextBlock", "text": _plain(post.text), "wrap": True},
            ],
            "actions": [{"type": "Action.OpenUrl", "title": post.button, "url": post.url}],
        }
        attachment = {"contentType": CARD, "contentUrl": None, "content": card}
        return post_json(self.title, settings["url"], {"type": "message", "attachments": [attachment]})


def _plain(text: str) -> str:
    """Keep people's words from being read as Markdown links."""
    return text.replace("[", "\\[").replace("]", "\\]")


@hookimpl
def rm_register_notifiers() -> Sequence[NewsNotifier]:
    """Bring Teams."""
    return (Teams(),)

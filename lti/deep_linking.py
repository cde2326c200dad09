"""Deep Linking 2.0: the answer to a platform that asks for content."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jwt

from lti import claims
from lti.launch import Launch
from lti.platforms import SigningKey

RESPONSE_LIFE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class ContentRequest:
    """What an answer needs to know of the request; plain, so that a host can carry it through its own form.

    :param return_url: may carry the user's session key: never log or store it
    :param data: to be echoed exactly; None when it was not sent
    """

    issuer: str
    client_id: str
    deployment_id: str
    return_url: str
    accept_multiple: bool
    data: Any

    @classmethod
    def of(cls, launch: Launch) -> "ContentRequest":
        """Take the request out of a launch.

        :raises ValueError: the launch was no deep linking request
        **Touches** pure.
        """
        settings = launch.deep_linking
        if settings is None:
            raise ValueError("The launch was no deep linking request")
        return cls(
            issuer=launch.platform.issuer,
            client_id=launch.platform.client_id,
            deployment_id=launch.deployment_id,
            return_url=settings.return_url,
            accept_multiple=settings.accept_multiple,
            data=settings.data,
        )


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of a link.

    :param width, height: pixels
    """

    url: str
    width: int
    height: int

    def to_json(self) -> dict[str, Any]:
        """Return the member. **Source** Deep Linking 2.0, section 3.2. **Touches** pure."""
        return {"url": self.url, "width": self.width, "height": self.height}


@dataclass(frozen=True, slots=True)
class LineItemRequest:
    """The gradebook column that shall come with a link."""

    score_maximum: float
    label: str | None = None
    resource_id: str | None = None
    tag: str | None = None
    submission_review: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the member `lineItem`. **Source** Deep Linking 2.0, section 3.2. **Touches** pure."""
        return _without_none(
            scoreMaximum=self.score_maximum,
            label=self.label,
            resourceId=self.resource_id,
            tag=self.tag,
            submissionReview=self.submission_review,
        )


@dataclass(frozen=True, slots=True)
class ResourceLinkItem:
    """A link to this tool that the platform shall place in the course.

    :param title: Moodle names the gradebook column after it
    :param url: None means the tool's default address
    :param custom: parameters of the link; empty ones are left out, an empty object crashes Moodle
    :param thumbnail: a larger picture, shown beside the link; None for none
    :param extra: further members of the item, such as `icon`, `window`, `iframe`, `available`
    """

    title: str
    url: str | None = None
    text: str | None = None
    custom: Mapping[str, str] = field(default_factory=dict)
    line_item: LineItemRequest | None = None
    thumbnail: Image | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content item. **Source** Deep Linking 2.0, section 3.2. **Touches** pure."""
        return {
            **self.extra,
            **_without_none(
                type="ltiResourceLink",
                title=self.title,
                url=self.url,
                text=self.text,
                custom=dict(self.custom) or None,
                lineItem=self.line_item.to_json() if self.line_item else None,
                thumbnail=self.thumbnail.to_json() if self.thumbnail else None,
            ),
        }


def build_response(
    request: ContentRequest,
    items: Sequence[ResourceLinkItem],
    *,
    key: SigningKey,
    now: datetime,
    message: str | None = None,
    error_message: str | None = None,
) -> str:
    """Return the signed answer.

    The browser posts it as the form field `JWT` to `request.return_url`.

    :param items: what was picked; may be empty, which means "nothing"
    :param now: aware UTC
    :param message: shown by the platform after success, None for none
    :param error_message: shown by the platform after a failure, None for none
    :raises ValueError: the platform takes one item only
    **Source** Deep Linking 2.0, section 4.5. **Touches** pure.
    """
    if len(items) > 1 and not request.accept_multiple:
        raise ValueError("The platform takes one item only")
    issued = int(now.timestamp())
    payload = {
        "iss": request.client_id,
        "aud": request.issuer,
        "iat": issued,
        "exp": issued + RESPONSE_LIFE_SECONDS,
        "nonce": secrets.token_urlsafe(24),
        claims.DEPLOYMENT_ID: request.deployment_id,
        claims.MESSAGE_TYPE: "LtiDeepLinkingResponse",
        claims.VERSION: "1.3.0",
        claims.DEEP_LINKING + "content_items": [item.to_json() for item in items],
    }
    optional = {"data": request.data, "msg": message, "errormsg": error_message}
    payload |= {claims.DEEP_LINKING + name: value for name, value in optional.items() if value is not None}
    return jwt.encode(payload, key.private_key, algorithm="RS256", headers={"kid": key.kid})


def _without_none(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}

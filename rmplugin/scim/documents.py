"""Documents that the SCIM server answers with: what it can do, and the asked-for part of a resource. Pure."""

from collections.abc import Mapping
from typing import Any

from rmplugin.scim.schemas import CORE, KINDS, SCHEMA_NAMES, Kind, Place

# What every answer holds, whatever is left out.
ALWAYS = ("schemas", "id")


def config(base: str, most: int) -> dict[str, Any]:
    """Say what the server can do. **Source** RFC 7643, section 5. **Touches** pure."""
    return {
        "schemas": [f"{CORE}ServiceProviderConfig"],
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": most},
        "changePassword": {"supported": False},
        "sort": {"supported": False},
        "etag": {"supported": True},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "Bearer token",
                "description": "The token of rmplugin scim token NAME.",
                "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{base}/ServiceProviderConfig"},
    }


def schemas(base: str) -> list[dict[str, Any]]:
    """Describe all attributes. **Source** RFC 7643, section 7. **Touches** pure."""
    extensions = {urn: attributes for kind in KINDS.values() for urn, attributes in kind.extensions.items()}
    attributes_of = {kind.urn: kind.attributes for kind in KINDS.values()} | extensions
    return [
        {
            "schemas": [f"{CORE}Schema"],
            "id": urn,
            "name": SCHEMA_NAMES[urn],
            "description": SCHEMA_NAMES[urn],
            "attributes": [attribute.document() for attribute in attributes],
            "meta": {"resourceType": "Schema", "location": f"{base}/Schemas/{urn}"},
        }
        for urn, attributes in attributes_of.items()
    ]


def resource_types(base: str) -> list[dict[str, Any]]:
    """Describe users and groups. **Source** RFC 7643, section 6. **Touches** pure."""
    return [
        {
            "schemas": [f"{CORE}ResourceType"],
            "id": kind.name,
            "name": kind.name,
            "endpoint": f"/{kind.endpoint}",
            "description": f"{kind.name} accounts",
            "schema": kind.urn,
            "schemaExtensions": [{"schema": urn, "required": False} for urn in kind.extensions],
            "meta": {"resourceType": "ResourceType", "location": f"{base}/ResourceTypes/{kind.name}"},
        }
        for kind in KINDS.values()
    ]


def chosen(kind: Kind, document: dict[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """Leave of a document what was asked for. **Source** RFC 7644, section 3.9. **Touches** pure."""
    wanted, unwanted = _places(kind, asked, "attributes"), _places(kind, asked, "excludedAttributes")
    if wanted is None and not unwanted:
        return document
    kept: dict[str, Any] = {}
    if wanted is None:
        kept = {**document}
    for place in wanted or ():
        _copy(place, document, kept)
    for place in unwanted or ():
        _drop(place, kept)
    return {name: document[name] for name in ALWAYS} | kept


def _places(kind: Kind, asked: Mapping[str, str], name: str) -> list[Place] | None:
    if not asked.get(name):
        return None
    found = (kind.place(path.strip()) for path in asked[name].split(","))
    return [place for place in found if place is not None]


def _copy(place: Place, document: Mapping[str, Any], chosen: dict[str, Any]) -> None:
    if place.attribute is None:
        whole = place.urn or ""
        chosen.update({whole: document[whole]} if whole in document else {})
        return
    source, target = document, chosen
    if place.urn:
        source = document.get(place.urn, {})
        target = chosen.setdefault(place.urn, {}) if place.attribute.name in source else {}
    name, sub = place.attribute.name, place.sub
    if name not in source:
        return
    if sub is None:
        target[name] = source[name]
    elif isinstance(source[name], dict):
        target[name] = target.get(name, {}) | _only(source[name], sub.name)
    else:
        before = target.get(name) or [{}] * len(source[name])
        target[name] = [old | _only(one, sub.name) for old, one in zip(before, source[name], strict=True)]


def _only(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: value[name]} if name in value else {}


def _drop(place: Place, chosen: dict[str, Any]) -> None:
    if place.attribute is None:
        chosen.pop(place.urn or "", None)
        return
    holder = chosen
    if place.urn:
        # The document is the stored one; only copies of it are changed.
        holder = chosen[place.urn] = {**chosen.get(place.urn, {})}
    name, sub = place.attribute.name, place.sub
    if sub is None:
        holder.pop(name, None)
    elif name in holder:
        value = holder[name]
        parts = [
            {k: v for k, v in one.items() if k != sub.name}
            for one in (value if isinstance(value, list) else [value])
        ]
        holder[name] = parts if isinstance(value, list) else parts[0]
    if place.urn and not holder:
        del chosen[place.urn]

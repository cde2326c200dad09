"""PATCH as the standard says and as identity providers send it. Pure.

Entra ID capitalises operations, writes booleans as words, sends paths as keys of a value without a path, sets
the manager by a bare id, and sets `emails[type eq "work"].value` of people who have no such address yet.
Attributes that are not stored are passed over: a refusal would keep back everything else about the person.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rmplugin.scim.filters import Both, Compare, Filter, parse_path
from rmplugin.scim.schemas import (
    Attribute,
    Kind,
    Place,
    ScimError,
    clean_value,
    one_primary,
    wrong_value,
)

Body = dict[str, Any]
OPERATIONS = ("add", "replace", "remove")
MOST_OPERATIONS = 1000


def apply_patch(kind: Kind, body: Mapping[str, Any], document: Any) -> Body:
    """Give the resource after a PATCH.

    :param body: as stored; not changed.
    :param document: the decoded PatchOp.
    :raises ScimError: it is none, or asks for what cannot be.
    **Source** RFC 7644, section 3.5.2. **Touches** pure.
    """
    changed: Body = {
        name: {**value} if isinstance(value, dict) else [*value] if isinstance(value, list) else value
        for name, value in body.items()
    }
    for operation in _operations(document):
        word = str(operation.get("op", "")).casefold()
        path, value = operation.get("path"), operation.get("value")
        if word not in OPERATIONS or not isinstance(path, str | None):
            raise ScimError(400, "invalidSyntax", "An operation is none of add, replace and remove.")
        if path:
            _apply(kind, changed, word, path, value)
        elif word == "remove" or not isinstance(value, dict):
            raise ScimError(400, "noTarget", "An operation names no path. Nothing was changed.")
        else:
            for key, one in value.items():
                _apply(kind, changed, word, key, one)
    return {name: value for name, value in changed.items() if value not in (None, [], {})}


def _operations(document: Any) -> Iterator[Mapping[str, Any]]:
    folded = {k.casefold(): v for k, v in document.items()} if isinstance(document, dict) else {}
    operations = folded.get("operations")
    if not isinstance(operations, list) or not 0 < len(operations) <= MOST_OPERATIONS:
        raise ScimError(400, "invalidSyntax", "The body has no list of Operations. Nothing was changed.")
    for operation in operations:
        if not isinstance(operation, dict):
            raise ScimError(400, "invalidSyntax", "An operation is no object. Nothing was changed.")
        yield {key.casefold(): value for key, value in operation.items()}


def _apply(kind: Kind, body: Body, word: str, path: str, value: Any) -> None:
    place, condition = parse_path(kind, path)
    if place is None:
        return
    if place.attribute is None:
        _apply_whole(kind, body, word, place, value)
        return
    if place.attribute.read_only:
        # "schemas" and "id" come along in values without a path.
        return
    holder = body.setdefault(place.urn, {}) if place.urn else body
    removes = word == "remove" or value in (None, "", [], {})
    if place.attribute.many and (condition is not None or place.sub is not None):
        _apply_some(holder, place, condition, None if removes else value)
    elif place.attribute.many:
        _apply_many(holder, place.attribute, word, value)
    elif place.sub is not None:
        part = {**(holder.get(place.attribute.name) or {})}
        _set(part, place.sub, None if removes else value)
        _put(holder, place.attribute, part)
    elif place.attribute.subs and not removes:
        part = clean_value(place.attribute, value) or {}
        _put(holder, place.attribute, {**(holder.get(place.attribute.name) or {}), **part})
    else:
        _set(holder, place.attribute, None if removes else value)


def _apply_whole(kind: Kind, body: Body, word: str, place: Place, value: Any) -> None:
    """Change a whole extension, or the resource by its own URN."""
    if word == "remove":
        if place.urn:
            body.pop(place.urn, None)
    elif isinstance(value, dict):
        for key, one in value.items():
            _apply(kind, body, word, f"{place.urn or kind.urn}:{key}", one)


def _set(holder: Body, attribute: Attribute, value: Any) -> None:
    _put(holder, attribute, clean_value(attribute, value))


def _put(holder: Body, attribute: Attribute, value: Any) -> None:
    if value in (None, [], {}):
        holder.pop(attribute.name, None)
    else:
        holder[attribute.name] = value


def _apply_many(holder: Body, attribute: Attribute, word: str, value: Any) -> None:
    """Change all values of a multi-valued attribute, or add or take away the given ones."""
    given = clean_value(attribute, value) or []
    before = holder.get(attribute.name) or []
    if word == "add":
        # A member that comes again with a name is the same member.
        keys = [_key(one) for one in given]
        after = [*(one for one in before if _key(one) not in keys), *given]
    elif word == "replace":
        after = given
    else:
        keys = [_key(one) for one in given]
        after = [one for one in before if keys and _key(one) not in keys]
    _put(holder, attribute, one_primary(after))


def _key(one: Any) -> Any:
    return (one.get("value"), one.get("type")) if isinstance(one, dict) and one.get("value") else one


def _apply_some(holder: Body, place: Place, condition: Filter | None, value: Any) -> None:
    """Change those values of a multi-valued attribute that fit; set one that fits when none does.

    :param value: None removes.
    """
    attribute = place.attribute
    assert attribute is not None
    after: list[Any] = []
    found = False
    for one in holder.get(attribute.name) or []:
        if condition is not None and not condition.fits(one):
            after.append(one)
            continue
        found = True
        changed = _changed(attribute, place.sub, one, value)
        if changed:
            after.append(changed)
    if not found and value is not None:
        after.append(_changed(attribute, place.sub, _asked_for(condition), value))
    _put(holder, attribute, one_primary(after))


def _changed(attribute: Attribute, sub: Attribute | None, one: Body, value: Any) -> Body:
    changed = {**one}
    if sub is not None:
        _set(changed, sub, value)
        # An address of which only the type is left is none.
        return changed if "value" in changed or attribute.sub("value") is None else {}
    if value is None:
        return {}
    given = clean_value(attribute, value)
    if len(given or []) != 1:
        raise wrong_value(attribute)
    return {**changed, **given[0]}


def _asked_for(condition: Filter | None) -> Body:
    """Give the value that a condition describes: `type eq "work"` is {"type": "work"}."""
    if isinstance(condition, Both):
        return {**_asked_for(condition.one), **_asked_for(condition.other)}
    if isinstance(condition, Compare) and condition.operator == "eq" and condition.place:
        attribute = condition.place.attribute
        return {attribute.name: condition.value} if attribute and condition.value is not None else {}
    return {}

"""Link headers and page addresses."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(r'\s*;\s*([^\s=;,"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


def parse_links(header: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Read a Link header.

    :param header: one or several links; relations may be quoted or not, in any case, several in one value
    :return: pairs of address (its case is kept) and lower-case relations; whatever is no link is left out
    **Source** RFC 8288, section 3 and appendix B.2. **Touches** pure.
    """
    position = 0
    while match := _TARGET.match(header, position):
        target, position = match[1].strip(), match.end()
        relations: frozenset[str] | None = None
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            if parameter[1].lower() == "rel" and relations is None:
                # The first rel counts (RFC 8288, section 3.3).
                value = parameter[2] if parameter[2] is not None else parameter[3] or ""
                relations = frozenset(re.sub(r"\\(.)", r"\1", value).lower().split())
        yield target, relations or frozenset()
        # A broken parameter must not hide the links after it.
        comma = header.find(",", position)
        position = len(header) if comma < 0 else comma


def linked(header: str | None, relation: str, current: str) -> str | None:
    """Return the absolute address of the first link with a relation, None when there is none.

    :param relation: in lower case: "next", "differences"
    :param current: address of this page, for relative links
    **Touches** pure.
    """
    for target, relations in parse_links(header or ""):
        if relation in relations and target:
            try:
                # urljoin rewrites absolute addresses a little; platforms compare their own byte for byte.
                return target if urlsplit(target).scheme else urljoin(current, target)
            except ValueError:
                return None
    return None


def with_query(url: str, **parameters: str | None) -> str:
    """Add parameters to an address and keep the ones that it has, byte for byte; None is left out.

    **Touches** pure.
    """
    parts = urlsplit(url)
    present = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = urlencode(
        {name: value for name, value in parameters.items() if value is not None and name not in present}
    )
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added)))))


def below(url: str, segment: str) -> str:
    """Append a path segment before the query string: Moodle's line items end in `?type_id=7`.

    **Source** AGS 2.0, section 3.3. **Touches** pure.
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{segment}"))

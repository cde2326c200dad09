"""Open Badges 3.0: a signed credential that other programs can check, as JSON or inside a picture.

It names its holder by the digest of an address alone, and its evidence by a digest: who holds the evidence
can prove that it is the same, and nobody can read from it what it was.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5
from xml.sax.saxutils import escape

from rmplugin.api import PaperRecord, PaperServices, PaperSink, Text, hookimpl, print_document

CREDENTIALS = "https://www.w3.org/ns/credentials/v2"
BADGES = "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json"
VOCABULARY = "https://purl.imsglobal.org/spec/vc/ob/vocab.html#"
XSD = "https://www.w3.org/2001/XMLSchema#"
# What the official context of badges says of the terms that are used here; whoever verifies uses that one.
TERMS: Mapping[str, Any] = {
    **{
        name: VOCABULARY + name
        for name in (
            *("OpenBadgeCredential", "Achievement", "AchievementSubject", "Criteria", "Evidence"),
            *("IdentityObject", "Profile", "achievement", "achievementType", "identityHash"),
            *("identityType", "salt", "narrative", "role"),
        )
    },
    "inLanguage": "https://schema.org/inLanguage",
    "activityStartDate": {"@id": VOCABULARY + "activityStartDate", "@type": XSD + "date"},
    "activityEndDate": {"@id": VOCABULARY + "activityEndDate", "@type": XSD + "date"},
    "creditsEarned": {"@id": VOCABULARY + "creditsEarned", "@type": XSD + "float"},
    "criteria": {"@id": VOCABULARY + "Criteria", "@type": "@id"},
    "hashed": {"@id": VOCABULARY + "hashed", "@type": XSD + "boolean"},
    "identifier": {"@id": VOCABULARY + "identifier", "@container": "@set"},
    "url": {"@id": "https://schema.org/url", "@type": XSD + "anyURI"},
}
ROLES = {"mentor": Text("Mentor"), "mentee": Text("Mentee")}
SOURCE = """\
#set page(width: 90mm, height: 90mm, margin: 0mm, fill: none)
#set text(fill: white, hyphenate: false)
#place(center + horizon, circle(radius: 44mm, fill: rgb("#0b5c7d")))
#place(center + horizon, circle(radius: 40mm, stroke: 1pt + white))
#place(center + horizon, box(width: 62mm, height: 56mm, clip: true, align(center + horizon)[
  #text(size: 10pt, facts.title)
  #v(2mm)
  #let long = facts.programme.clusters().len() > 40
  #text(size: if long { 10pt } else { 15pt }, weight: "bold", facts.programme)
  #v(2mm)
  #text(size: 11pt, facts.role)
]))
"""
PNG_HEAD = b"\x89PNG\r\n\x1a\n"


class OpenBadge:
    """Makes badges."""

    key = "openbadge"
    title: str = Text("Open Badge")
    forms: Mapping[str, str] = {
        "json": "application/vc+ld+json",
        "png": "image/png",
        "svg": "image/svg+xml",
    }

    def make(self, record: PaperRecord, services: PaperServices, form: str) -> bytes:
        """See `PaperSink`."""
        sealed = services.seal(_credential(record, services), {BADGES: TERMS}, record.issued_at)
        text = json.dumps(sealed, ensure_ascii=False, indent=2 if form == "json" else None)
        if form == "json":
            return text.encode()
        facts = {
            "title": services.say(Text("Reverse mentoring"), record.language),
            "author": record.issuer_name,
            "language": record.language,
            "programme": record.programme_name,
            "role": services.say(ROLES[record.role], record.language),
        }
        if form == "svg":
            return _bake_svg(print_document(SOURCE, facts, record.issued_at, "svg"), text)
        return _bake_png(print_document(SOURCE, facts, record.issued_at, "png"), text)


def _credential(record: PaperRecord, services: PaperServices) -> dict[str, Any]:
    listed = services.status_list_url()
    return {
        "@context": [CREDENTIALS, BADGES],
        "id": record.verify_url,
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "issuer": {
            "id": services.issuer_id(),
            "type": ["Profile"],
            "name": record.issuer_name,
            "url": record.issuer_url,
        },
        "validFrom": f"{record.issued_at:%Y-%m-%dT%H:%M:%SZ}",
        "name": record.programme_name,
        "credentialSubject": _subject(record, services),
        "evidence": [
            {
                "id": f"urn:hash::sha256:{record.evidence_sha256}",
                "type": ["Evidence"],
                "name": services.say(Text("Sessions that count"), record.language),
            }
        ],
        "credentialStatus": {
            "id": f"{listed}#{record.status_index}",
            "type": "BitstringStatusListEntry",
            "statusPurpose": "revocation",
            "statusListIndex": str(record.status_index),
            "statusListCredential": listed,
        },
    }


def _subject(record: PaperRecord, services: PaperServices) -> dict[str, Any]:
    whole, rest = divmod(record.amount_hundredths, 100)
    description = Text(
        "Reverse mentoring: a junior teaches, a senior learns. Each session was confirmed by both, or "
        "attested by the manager of the programme."
    )
    subject = {
        "type": ["AchievementSubject"],
        "activityStartDate": f"{record.started_at:%Y-%m-%d}",
        "activityEndDate": f"{record.completed_at:%Y-%m-%d}",
        # A whole number is written as one, because programs read 12.0 as 12 and would sign that.
        "creditsEarned": record.amount_hundredths / 100 if rest else whole,
        "role": record.role,
        "achievement": {
            "id": uuid5(UUID(record.programme_id), record.role).urn,
            "type": ["Achievement"],
            "achievementType": "LearningProgram",
            "name": record.programme_name,
            "description": services.say(description, record.language),
            "inLanguage": record.language,
            "criteria": {"narrative": "\n".join(f"- {line}" for line in record.criteria)},
        },
    }
    if record.holder_email is None:
        return {"id": UUID(record.id).urn, **subject}
    return {**subject, "identifier": [_identity(record.holder_email, record.id)]}


def _identity(email: str, salt: str) -> dict[str, Any]:
    digest = hashlib.sha256((email.lower() + salt).encode()).hexdigest()
    return {
        "type": "IdentityObject",
        "hashed": True,
        "identityHash": f"sha256${digest}",
        "identityType": "emailAddress",
        "salt": salt,
    }


def _bake_svg(picture: bytes, credential: str) -> bytes:
    """Put a credential into an SVG. **Source** Open Badges 3.0, section 5.3.2.2."""
    head, tag, rest = picture.decode().partition("<svg ")
    attributes, end, body = rest.partition(">")
    space = 'xmlns:openbadges="https://purl.imsglobal.org/ob/v3p0"'
    element = f"<openbadges:credential>{escape(credential)}</openbadges:credential>"
    return f"{head}{tag}{space} {attributes}{end}{element}{body}".encode()


def _bake_png(picture: bytes, credential: str) -> bytes:
    """Put a credential into a PNG. **Source** Open Badges 3.0, section 5.3.1.1; PNG, section 11.3.3.4."""
    content = b"openbadgecredential\x00\x00\x00\x00\x00" + credential.encode()
    chunk = b"iTXt" + content
    baked = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    # The first chunk, IHDR, has 13 bytes of content between its length, name and check sum.
    first = len(PNG_HEAD) + 4 + 4 + 13 + 4
    return picture[:first] + baked + picture[first:]


@hookimpl
def rm_register_completion_sinks() -> Sequence[PaperSink]:
    """See `hookspecs`."""
    return (OpenBadge(),)

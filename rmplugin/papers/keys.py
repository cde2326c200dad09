"""Who signs: the issuer's keys, its name as a DID, and what it hands to those who make papers."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from rmplugin import languages, texts
from rmplugin.db import Db, Secrets
from rmplugin.jobs import Runtime
from rmplugin.papers import proofs
from rmplugin.papers.models import IssuerKey
from rmplugin.texts import Text

PURPOSE = "papers"


@dataclass(frozen=True)
class Issuer:
    """Signs in the name of this installation. It is the `sinks.PaperServices` of a company's papers.

    :param public_url: the tool's address; where it is https, the issuer's name is that address (did:web),
        else the key itself (did:key), which needs nobody who answers.
    :param list_url: public address of the company's list of revoked papers.
    :param multikey: of `key`.
    :param earlier: keys that signed before it, as Multikeys; what they signed is still to be verified.
    """

    public_url: str
    list_url: str
    multikey: str
    key: Ed25519PrivateKey = field(repr=False)
    earlier: Sequence[str] = ()

    def issuer_id(self) -> str:
        """See `sinks.PaperServices`."""
        if self.public_url.startswith("https:"):
            return "did:web:" + urlsplit(self.public_url).netloc.replace(":", "%3A")
        return f"did:key:{self.multikey}"

    def key_id(self) -> str:
        """Give the DID URL of the public key. **Touches** pure."""
        return f"{self.issuer_id()}#{self.multikey}"

    def say(self, text: Text, language: str) -> str:
        """See `sinks.PaperServices`."""
        return texts.say(text, languages.translator(language))

    def status_list_url(self) -> str:
        """See `sinks.PaperServices`."""
        return self.list_url

    def seal(
        self, document: Mapping[str, Any], contexts: Mapping[str, Mapping[str, Any]], at: datetime
    ) -> dict[str, Any]:
        """See `sinks.PaperServices`."""
        return proofs.sign(document, contexts, self.key, self.key_id(), at)

    def document(self) -> dict[str, Any]:
        """Give the DID document, in which verifiers find the public keys. **Source** DID 1.0."""
        issuer = self.issuer_id()
        # A did:key is one key and no other; what earlier ones signed names them itself.
        published = [self.multikey, *(self.earlier if issuer.startswith("did:web:") else ())]
        methods = [
            {"id": f"{issuer}#{one}", "type": "Multikey", "controller": issuer, "publicKeyMultibase": one}
            for one in published
        ]
        return {
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "id": issuer,
            "verificationMethod": methods,
            "assertionMethod": [method["id"] for method in methods],
        }

    def list_revoked(self, indexes: Collection[int], now: datetime) -> dict[str, Any]:
        """Give the signed list of revoked papers.

        :param indexes: places of the revoked ones.
        :param now: aware UTC.
        **Source** Bitstring Status List 1.0. **Touches** pure.
        """
        document = {
            "@context": [proofs.CREDENTIALS],
            "id": self.list_url,
            "type": ["VerifiableCredential", "BitstringStatusListCredential"],
            "issuer": self.issuer_id(),
            "validFrom": proofs.moment(now),
            "credentialSubject": {
                "id": f"{self.list_url}#list",
                "type": "BitstringStatusList",
                "statusPurpose": "revocation",
                "encodedList": proofs.encode_list(indexes),
            },
        }
        return self.seal(document, {}, now)


def ensure_issuer_key(db: Db, secrets_box: Secrets, now: datetime) -> IssuerKey:
    """Give the key, and make it first where there is none.

    **Touches** writes issuer_key.
    """
    query = select(IssuerKey).where(IssuerKey.purpose == PURPOSE)
    found = db.scalars(query).one_or_none()
    if found is not None:
        return found
    key = Ed25519PrivateKey.generate()
    row = IssuerKey(
        purpose=PURPOSE,
        public_multibase=proofs.multikey(key.public_key()),
        private_key_locked=secrets_box.lock(key.private_bytes_raw().hex()),
        created_at=now,
    )
    try:
        with db.begin_nested():
            db.add(row)
    except IntegrityError:
        # Another process made it a moment before.
        return db.scalars(query).one()
    return row


def rotate_issuer_key(db: Db, secrets_box: Secrets, now: datetime, *, stolen: bool = False) -> None:
    """Let a new key sign. The old one stays published, so that what it signed is still accepted.

    :param stolen: the old one is published no longer: nothing that it signed is accepted any more, whoever
        made it. Holders take their badges anew.
    **Touches** writes issuer_key.
    """
    # Locked, so that two commands rotate one after the other.
    query = select(IssuerKey).where(IssuerKey.purpose == PURPOSE).with_for_update()
    row = db.scalars(query).one_or_none()
    if row is not None and stolen:
        db.delete(row)
    elif row is not None:
        row.purpose = row.private_key_locked = None
    db.flush()
    ensure_issuer_key(db, secrets_box, now)


def issuer_of(runtime: Runtime, tenant_id: uuid.UUID) -> Issuer:
    """Give who signs the papers of a company.

    **Touches** reads issuer_key, or writes it where there is none, in a transaction of its own.
    """
    with runtime.database.transaction(None, write=False) as db:
        rows = db.scalars(select(IssuerKey).order_by(IssuerKey.created_at.desc(), IssuerKey.id.desc())).all()
    row = next((one for one in rows if one.purpose == PURPOSE), None)
    if row is None:
        with runtime.database.transaction(None) as db:
            row = ensure_issuer_key(db, runtime.database.secrets, runtime.clock())
    assert row.private_key_locked is not None
    private = bytes.fromhex(runtime.database.secrets.unlock(row.private_key_locked))
    key = Ed25519PrivateKey.from_private_bytes(private)
    url = runtime.settings.public_url
    earlier = [one.public_multibase for one in rows if one.id != row.id]
    return Issuer(url, f"{url}/papers/status/{tenant_id}", row.public_multibase, key, earlier)

"""Signs credentials: Data Integrity proofs of the suite eddsa-rdfc-2022, and lists of what was revoked.

Signing needs each term's meaning, which JSON-LD contexts hold. Nothing is fetched for that: for the few terms
that are used, a table says what the official context of that address says. Whoever verifies uses the official
ones; had a table another meaning, the signature would not hold.
"""

import base64
import gzip
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import base58
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyld import jsonld

ED25519 = b"\xed\x01"
CREDENTIALS = "https://www.w3.org/ns/credentials/v2"
VC = "https://www.w3.org/2018/credentials#"
SECURITY = "https://w3id.org/security#"
STATUS = "https://www.w3.org/ns/credentials/status#"
DATE_TIME = "http://www.w3.org/2001/XMLSchema#dateTime"
# One place each for so many papers of a company; more than the standard's least of 131,072.
PLACES = 1 << 20


def _link(iri: str) -> dict[str, str]:
    return {"@id": iri, "@type": "@id"}


TERMS: dict[str, Any] = {
    "id": "@id",
    "type": "@type",
    "name": "https://schema.org/name",
    "description": "https://schema.org/description",
    "VerifiableCredential": VC + "VerifiableCredential",
    "issuer": _link(VC + "issuer"),
    "validFrom": {"@id": VC + "validFrom", "@type": DATE_TIME},
    "credentialSubject": _link(VC + "credentialSubject"),
    "credentialStatus": _link(VC + "credentialStatus"),
    "evidence": _link(VC + "evidence"),
    "BitstringStatusListCredential": STATUS + "BitstringStatusListCredential",
    "BitstringStatusList": STATUS + "BitstringStatusList",
    "BitstringStatusListEntry": STATUS + "BitstringStatusListEntry",
    "statusPurpose": STATUS + "statusPurpose",
    "statusListIndex": STATUS + "statusListIndex",
    "statusListCredential": _link(STATUS + "statusListCredential"),
    "encodedList": {"@id": STATUS + "encodedList", "@type": SECURITY + "multibase"},
    "DataIntegrityProof": SECURITY + "DataIntegrityProof",
    "cryptosuite": {"@id": SECURITY + "cryptosuite", "@type": SECURITY + "cryptosuiteString"},
    "created": {"@id": "http://purl.org/dc/terms/created", "@type": DATE_TIME},
    "verificationMethod": _link(SECURITY + "verificationMethod"),
    "proofPurpose": {"@id": SECURITY + "proofPurpose", "@type": "@vocab"},
    "assertionMethod": SECURITY + "assertionMethod",
}


def moment(at: datetime) -> str:
    """Write a moment as credentials have it. :param at: aware UTC. **Touches** pure."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def multikey(key: Ed25519PublicKey) -> str:
    """Write a public key. **Source** Controlled Identifiers 1.0, Multikey. **Touches** pure."""
    return _multibase(ED25519 + key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _multibase(data: bytes) -> str:
    return "z" + base58.b58encode(data).decode()


def sign(
    document: Mapping[str, Any],
    contexts: Mapping[str, Mapping[str, Any]],
    key: Ed25519PrivateKey,
    method: str,
    at: datetime,
) -> dict[str, Any]:
    """Give a credential with its proof. The same arguments give the same proof.

    :param document: its `@context` lists addresses.
    :param contexts: address -> term -> meaning, beside those of `CREDENTIALS`.
    :param method: DID URL of the public key.
    :param at: when it was signed, aware UTC.
    :raises ValueError: the document uses a context or a term that no table explains; it would not be signed.
    **Source** Data Integrity EdDSA Cryptosuites 1.0, section 3.3. **Touches** pure.
    """
    tables = {CREDENTIALS: TERMS} | dict(contexts)
    proof = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-rdfc-2022",
        "created": moment(at),
        "verificationMethod": method,
        "proofPurpose": "assertionMethod",
    }
    options = {"@context": document["@context"], **proof}
    signature = key.sign(_digest(options, tables) + _digest(document, tables))
    # A list of one: the official schema wants a list, and every verifier takes it.
    return {**document, "proof": [{**proof, "proofValue": _multibase(signature)}]}


def _digest(document: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> bytes:
    strange = [address for address in document["@context"] if address not in tables]
    known = [dict(tables[address]) for address in document["@context"] if address in tables]
    words = {name: value for name, value in document.items() if name != "@context"}
    strange += _unexplained(words, set().union(*known))
    if strange:
        raise ValueError(f"no meaning is known for {', '.join(sorted(set(strange)))}")
    options = {"algorithm": "URDNA2015", "format": "application/n-quads", "documentLoader": _load_nothing}
    quads: str = jsonld.normalize({"@context": known, **words}, options)
    return hashlib.sha256(quads.encode()).digest()


def _unexplained(value: Any, terms: set[str]) -> list[str]:
    """Name terms that would silently be left out of what is signed."""
    if isinstance(value, Mapping):
        types = value.get("type", [])
        used = {*value, *([types] if isinstance(types, str) else types)}
        return [*(used - terms), *(word for part in value.values() for word in _unexplained(part, terms))]
    if isinstance(value, list | tuple):
        return [word for part in value for word in _unexplained(part, terms)]
    return []


def _load_nothing(url: str, _options: Any = None) -> Any:
    raise ValueError(f"nothing is fetched, and {url} is not known")


def encode_list(indexes: Iterable[int]) -> str:
    """Write which places of a list are taken: one bit each, the first on the left.

    **Source** Bitstring Status List 1.0, section 3.3. **Touches** pure.
    """
    bits = bytearray(PLACES // 8)
    for index in indexes:
        bits[index // 8] |= 0x80 >> (index % 8)
    packed = gzip.compress(bytes(bits), mtime=0)
    return "u" + base64.urlsafe_b64encode(packed).decode().rstrip("=")

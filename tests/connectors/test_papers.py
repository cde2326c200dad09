"""The sinks that make papers: badges that strangers accept, certificates that anybody can read."""

import copy
import dataclasses
import hashlib
import json
import string
from datetime import UTC, datetime, timedelta

import png
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from openbadgeslib import baking
from openbadgeslib.ob3 import OB3LdpVerifier, OB3VerificationError, decode_encoded_list
from pypdf import PdfReader

from connectors.sinks.certificate import Certificate
from connectors.sinks.openbadge import OpenBadge
from rmplugin.api import PaperRecord
from rmplugin.papers import proofs
from rmplugin.papers.keys import Issuer
from tests.conftest import START
from tests.factories.node import run_node
from tests.factories.papers import examine

KEY = Ed25519PrivateKey.from_private_bytes(b"a key for tests of the papers...")
NUMBER = "6b7e7a52-93c7-44c5-a0a4-1b1d1c1f2c11"
LONG = "Prof. Dr. Annegret Wilhelmine Großmüller-Żółciński-Łukaszewska von und zu Öhringen-Überlingen"


def issuer(url: str = "http://localhost:5000") -> Issuer:
    return Issuer(url, f"{url}/papers/status/1", proofs.multikey(KEY.public_key()), KEY)


def record(url: str = "http://localhost:5000", **changes) -> PaperRecord:
    values = {
        "id": NUMBER,
        "holder_name": "Mira Junior",
        "holder_email": "Mira@acme.example",
        "role": "mentor",
        "programme_id": "0192e4a0-0000-7000-8000-000000000001",
        "programme_name": "Digital fluency",
        "started_at": START - timedelta(days=100),
        "completed_at": START,
        "sessions": 12,
        "minutes": 725,
        "amount_hundredths": 1208,
        "unit": "contact_hours",
        "criteria": ("Sessions that count: 12", "Agreement signed by both"),
        "evidence_sha256": "ab" * 32,
        "issued_at": START,
        "issuer_name": "Acme",
        "issuer_url": url,
        "verify_url": f"{url}/verify/{NUMBER}",
        "status_index": 77,
        "language": "en",
        **changes,
    }
    return PaperRecord(**values)


def badge(made_by: Issuer | None = None, **changes) -> dict:
    return json.loads(OpenBadge().make(record(**changes), made_by or issuer(), "json"))


# Each a small change that nobody may get away with.
TAMPERED = {
    "more credit": lambda doc: doc["credentialSubject"].update(creditsEarned=50),
    "another programme": lambda doc: doc["credentialSubject"]["achievement"].update(name="Law"),
    "another holder": lambda doc: doc["credentialSubject"]["identifier"][0].update(identityHash="sha256$00"),
    "another place": lambda doc: doc["credentialStatus"].update(statusListIndex="78"),
    "no revocation": lambda doc: doc.pop("credentialStatus"),
    "an earlier day": lambda doc: doc.update(validFrom="2020-01-01T00:00:00Z"),
    "another company": lambda doc: doc["issuer"].update(name="Rival"),
    "another signature": lambda doc: doc["proof"][0].update(created="2020-01-01T00:00:00Z"),
}


def tampered() -> list[dict]:
    changed = []
    for change in TAMPERED.values():
        document = copy.deepcopy(badge())
        change(document)
        changed.append(document)
    return changed


def test_badge_when_python_verifies_it_is_accepted_and_no_change_of_it_is():
    document = badge()
    found = OB3LdpVerifier().verify(document)
    assert found.achievement.name == "Digital fluency"
    for changed in tampered():
        with pytest.raises(OB3VerificationError):
            OB3LdpVerifier().verify(changed)


@pytest.mark.part("node")
def test_badge_when_node_verifies_it_is_accepted_and_no_change_of_it_is():
    listed = issuer().list_revoked([77], START)
    documents = {listed["id"]: listed}
    credentials = [badge(), listed, *tampered()]
    judged = run_node("verify_credentials.mjs", {"credentials": credentials, "documents": documents})
    good, lists, *bad = judged
    assert (good["vc"], good["core"]["valid_signature"]) == (True, True)
    assert good["core"]["revocation_status"] is False
    assert (lists["vc"], lists["core"]["valid_signature"]) == (True, True)
    accepted = [
        name for name, one in zip(TAMPERED, bad, strict=True) if one["vc"] or "valid_signature" in one["core"]
    ]
    assert accepted == []


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2026, 11, 20), timezones=st.just(UTC))  # noqa: DTZ001
records = st.builds(
    record,
    programme_name=words,
    issuer_name=words,
    criteria=st.lists(words, max_size=3),
    amount_hundredths=st.integers(0, 10**7),
    status_index=st.integers(0, proofs.PLACES - 1),
    issued_at=moments,
    started_at=moments,
    holder_email=st.none() | st.just("a@b.example"),
    role=st.sampled_from(["mentor", "mentee"]),
    language=st.sampled_from(["en", "de"]),
    evidence_sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
)


@pytest.mark.part("node")
@settings(max_examples=4)
@given(st.lists(records, min_size=12, max_size=12))
def test_badge_whatever_it_says_is_accepted_by_all_three(made):
    documents = [json.loads(OpenBadge().make(one, issuer(), "json")) for one in made]
    for document in documents:
        OB3LdpVerifier().verify(document)
    judged = run_node("verify_credentials.mjs", {"credentials": documents, "documents": {}})
    assert [one["said"] for one in judged if not one["vc"]] == []
    assert all(one["core"].get("valid_signature") for one in judged)


def test_badge_when_the_tool_is_public_is_signed_by_its_address():
    made_by = issuer("https://mentoring.acme.example:8443")
    document = badge(made_by, url="https://mentoring.acme.example:8443")
    assert document["issuer"]["id"] == "did:web:mentoring.acme.example%3A8443"
    answers = {
        "https://mentoring.acme.example:8443/.well-known/did.json": made_by.document(),
        document["credentialStatus"]["statusListCredential"]: made_by.list_revoked([], START),
    }

    def fetch(url, *_more, **_options):
        return json.dumps(answers[url]).encode()

    OB3LdpVerifier().verify(document, check_status=True, download=fetch, verify_status_list=False)
    answers[document["credentialStatus"]["statusListCredential"]] = made_by.list_revoked([77], START)
    with pytest.raises(OB3VerificationError, match="is set at index 77"):
        OB3LdpVerifier().verify(document, check_status=True, download=fetch, verify_status_list=False)


@given(st.sets(st.integers(0, proofs.PLACES - 1), max_size=20), st.integers(0, proofs.PLACES - 1))
@settings(max_examples=20)
def test_status_list_when_python_reads_it_has_exactly_the_revoked_places(revoked, other):
    listed = issuer().list_revoked(revoked, START)
    bits = decode_encoded_list(listed["credentialSubject"]["encodedList"])
    assert len(bits) == proofs.PLACES // 8
    found = {index for index in {*revoked, other} if bits[index // 8] & (0x80 >> index % 8)}
    assert found == revoked
    assert sum(map(int.bit_count, bits)) == len(revoked)


@pytest.mark.parametrize("form", ["png", "svg"])
def test_badge_in_a_picture_when_read_by_another_program_is_the_same(form):
    picture = OpenBadge().make(record(), issuer(), form)
    if form == "png":
        text = baking.extract_png(picture, keyword=b"openbadgecredential")
        chunks = [kind for kind, _content in png.Reader(bytes=picture).chunks()]
        assert (chunks[0], chunks[-1]) == (b"IHDR", b"IEND")
        assert png.Reader(bytes=picture).read()[:2] == (510, 510)
    else:
        text = baking.extract_svg(picture, element="openbadges:credential", text_fallback=True)
    assert json.loads(text) == badge()


def test_badge_when_made_twice_is_the_same_and_names_nobody():
    made = {form: OpenBadge().make(record(), issuer(), form) for form in OpenBadge.forms}
    assert made == {form: OpenBadge().make(record(), issuer(), form) for form in OpenBadge.forms}
    for content in made.values():
        assert b"Mira" not in content
        assert b"acme.example" not in content.lower()
    identity = badge()["credentialSubject"]["identifier"][0]
    digest = hashlib.sha256(("mira@acme.example" + identity["salt"]).encode()).hexdigest()
    assert identity["identityHash"] == f"sha256${digest}"


def test_seal_when_a_term_has_no_meaning_refuses_to_sign():
    plain = {"@context": [proofs.CREDENTIALS], "type": ["VerifiableCredential"], "favouriteColour": "blue"}
    with pytest.raises(ValueError, match="favouriteColour"):
        issuer().seal(plain, {}, START)
    with pytest.raises(ValueError, match="context-3"):
        issuer().seal({"@context": ["https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json"]}, {}, START)


NAMES = {
    "long": LONG,
    "one long word": "W" * 200,
    "Greek and Cyrillic": "Ελένη Παπαδοπούλου, Живко Петровић",
    "Chinese, Japanese, Korean": "王小明 山田太郎 김민준",
    "Arabic": "محمد",
    "Devanagari": "प्रिया",
    "Vietnamese": "Nguyễn Thị Ánh",
    "markup": "#let x = 1 <b>*Bo* $&amp;_\\",
}


@pytest.mark.part("poppler")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_certificate_when_printed_is_tagged_sound_and_whole_in_any_script(name, tmp_path):
    made = record(holder_name=name)
    pdf = Certificate().make(made, issuer(), "pdf")
    seen = examine(pdf, tmp_path)
    assert (seen.tagged, seen.sound, seen.fonts_embedded, seen.language) == (True, True, True, "en")
    assert seen.structure[:2] == ["Document", "H1"]
    assert "Figure" in seen.structure
    # It promises PDF/UA-1, which Typst refuses where a letter has no picture.
    assert b"pdfuaid:part" in pdf
    assert len(PdfReader(tmp_path / "examined.pdf").pages) == 1
    # Poppler gives back the letters of these two scripts in another order.
    if name not in (NAMES["Arabic"], NAMES["Devanagari"]):
        assert plain(name) in plain(seen.text)
    assert plain(made.verify_url) in plain(seen.text)


@pytest.mark.part("poppler")
def test_certificate_when_no_font_of_ours_knows_the_script_is_printed_all_the_same(tmp_path):
    seen = examine(Certificate().make(record(holder_name="ᚠᚢᚦ ꯃꯅꯤ"), issuer(), "pdf"), tmp_path)
    assert (seen.tagged, seen.sound) == (True, True)


def plain(text: str) -> str:
    """Leave out what breaks lines; poppler takes a hyphen at the end of one for such a break, too."""
    return "".join(letter for letter in text if letter not in string.whitespace + "\u200b-")


def test_certificate_in_german_writes_numbers_and_days_as_germans_do(tmp_path):
    made = record(language="de")
    (tmp_path / "one.pdf").write_bytes(Certificate().make(made, issuer(), "pdf"))
    text = " ".join(PdfReader(tmp_path / "one.pdf").pages[0].extract_text().split())
    for part in ("12,08", "23. November 2026", "12 h 5 min"):
        assert part in text


def test_certificate_when_the_unit_is_another_one_names_it(tmp_path):
    for unit, wanted in (("ceu", "1.2 continuing education units"), ("sparks", "1.2 sparks")):
        made = dataclasses.replace(record(), unit=unit, amount_hundredths=120)
        (tmp_path / "one.pdf").write_bytes(Certificate().make(made, issuer(), "pdf"))
        assert wanted in " ".join(PdfReader(tmp_path / "one.pdf").pages[0].extract_text().split())

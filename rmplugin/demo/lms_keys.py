"""Keys of the practice LMS: its own signing key, its session secret, and the tool's published keys."""

import base64
import hashlib
import json
import secrets
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

KEY_SET_SECONDS = 300.0


class KeySetUnreadableError(Exception):
    """The tool's key set could not be fetched; the text says why and is fit to be shown."""


def load_secret(path: Path) -> str:
    """Read the secret that signs cookies, hints and page tokens; make it on the first start.

    **Touches**: the file `path`.
    """
    if not path.exists():
        path.write_text(secrets.token_hex(32), encoding="ascii")
        path.chmod(0o600)
    return path.read_text(encoding="ascii").strip()


class SigningKey:
    """The RSA key that signs id_tokens and content selection requests, kept in a file.

    :ivar kid: thumbprint of the public key, so that another key always has another name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists():
            self._load()
        else:
            self.rotate()

    def rotate(self) -> None:
        """Make a new key and forget the old one, as an LMS does whose key was lost.

        **Touches**: the key's file.
        """
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self._path.write_bytes(pem)
        self._path.chmod(0o600)
        self._load()

    def _load(self) -> None:
        loaded = serialization.load_pem_private_key(self._path.read_bytes(), password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise TypeError(f"{self._path} holds no RSA key")
        self._private = loaded
        public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(loaded.public_key()))
        self._public = {"kty": "RSA", "e": public["e"], "n": public["n"]}
        digest = hashlib.sha256(json.dumps(self._public, sort_keys=True).encode()).digest()
        self.kid = base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def key_set(self) -> dict[str, Any]:
        """Return the public key as a JWK set."""
        return {"keys": [{**self._public, "alg": "RS256", "use": "sig", "kid": self.kid}]}

    def sign(self, claims: dict[str, Any]) -> str:
        """Sign claims as a JWT (RS256, with `kid`)."""
        return jwt.encode(claims, self._private, algorithm="RS256", headers={"kid": self.kid})


class ToolKeys:
    """The tool's published keys, kept for five minutes and read again when a `kid` is unknown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the RSA signature key of that name, None when the tool publishes none.

        :raises KeySetUnreadableError: the key set cannot be fetched or is no key set.

        **Touches**: HTTP GET of the tool's key set.
        """
        with self._lock:
            stale = time.monotonic() - self._read_at > KEY_SET_SECONDS
            if stale or kid not in self._keys:
                self._keys = self._fetch()
                self._read_at = time.monotonic()
            return self._keys.get(kid)

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        try:
            answer = requests.get(self._url, timeout=(3, 5), allow_redirects=False)
        except requests.RequestException as fault:
            raise KeySetUnreadableError(f"{self._url}: {type(fault).__name__}") from fault
        if answer.status_code != 200:
            raise KeySetUnreadableError(f"{self._url} answered {answer.status_code}")
        try:
            published = answer.json()["keys"]
            return {key["kid"]: jwt.PyJWK.from_dict(key) for key in published if _is_usable(key)}
        except (ValueError, KeyError, TypeError, jwt.PyJWTError) as fault:
            raise KeySetUnreadableError(f"{self._url} holds no key set") from fault


def _is_usable(key: dict[str, Any]) -> bool:
    return (
        key.get("kty") == "RSA"
        and key.get("alg", "RS256") == "RS256"
        and key.get("use", "sig") == "sig"
        and bool(key.get("kid"))
    )


def verify_tool_jwt(keys: ToolKeys, token: str, *, audience: str, now: float) -> dict[str, Any]:
    """Check signature, audience, exp and iat of a JWT that the tool signed.

    No leeway is given for an `iat` in the future, as Moodle gives none.

    :param audience: must be the `aud` or one of its values.
    :raises jwt.PyJWTError: the JWT is not acceptable; the text says why.
    :raises KeySetUnreadableError: the tool's key set cannot be fetched.

    **Source**: 1EdTech Security Framework 1.0 section 4.1.1; RFC 7523 section 3.
    **Touches**: HTTP GET of the tool's key set, when it is not known yet.
    """
    header = jwt.get_unverified_header(token)
    if header.get("alg") != "RS256":
        raise jwt.InvalidAlgorithmError("the header's alg must be RS256")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise jwt.InvalidKeyError("the header has no kid")
    key = keys.find(kid)
    if key is None:
        raise jwt.InvalidKeyError("the header's kid is not in the tool's key set")
    # The times are checked here and not by PyJWT, so that tests can set the clock.
    claims: dict[str, Any] = jwt.decode(
        token,
        key.key,
        algorithms=["RS256"],
        audience=audience,
        options={"require": ["exp", "iat", "aud", "iss"], "verify_exp": False, "verify_iat": False},
    )
    for name in ("exp", "iat"):
        if isinstance(claims[name], bool) or not isinstance(claims[name], int | float):
            raise jwt.DecodeError(f"{name} must be a number")
    if claims["exp"] <= now:
        raise jwt.ExpiredSignatureError("exp is in the past")
    if claims["iat"] > now:
        raise jwt.ImmatureSignatureError("iat is in the future")
    if claims["exp"] - claims["iat"] > 3600:
        raise jwt.ExpiredSignatureError("the JWT lives longer than an hour")
    return claims

"""Tokens as an attacker would make them. Nothing here knows a private key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any


def claims_of(token: str) -> dict[str, Any]:
    return json.loads(_decode(token.split(".")[1]))


def key_id_of(token: str) -> str:
    return str(json.loads(_decode(token.split(".")[0]))["kid"])


def with_claims(token: str, **claims: Any) -> str:
    """The same token with other claims, under the old signature."""
    header, _, signature = token.split(".")
    return ".".join([header, _encode_json({**claims_of(token), **claims}), signature])


def unsigned(token: str, **claims: Any) -> str:
    """`alg: none`: the header itself says that no signature is needed."""
    return ".".join([_encode_json({"alg": "none", "typ": "at+jwt"}), _encode_json({**claims_of(token), **claims}), ""])


def signed_with_public_key(token: str, jwk: dict[str, str], **claims: Any) -> str:
    """HS256 with the *public* key as the secret: fools a verifier that lets the token choose the algorithm."""
    header = _encode_json({"alg": "HS256", "typ": "at+jwt", "kid": jwk["kid"]})
    signed = f"{header}.{_encode_json({**claims_of(token), **claims})}"
    signature = hmac.new(public_key_pem(jwk), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_encode(signature)}"


def public_key_pem(jwk: dict[str, str]) -> bytes:
    """The RSA key as the PEM file that a verifier would have at hand: SubjectPublicKeyInfo, RFC 5280 section 4.1."""
    rsa_key = _der(0x30, _der_integer(_decode(jwk["n"])) + _der_integer(_decode(jwk["e"])))
    rsa_encryption = bytes.fromhex("300d06092a864886f70d0101010500")
    info = _der(0x30, rsa_encryption + _der(0x03, b"\0" + rsa_key))
    text = base64.encodebytes(info).replace(b"\n", b"")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b""])


def _der_integer(unsigned_bytes: bytes) -> bytes:
    # A leading zero keeps the number positive.
    return _der(0x02, b"\0" + unsigned_bytes if unsigned_bytes[0] & 0x80 else unsigned_bytes)


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _encode_json(value: dict[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

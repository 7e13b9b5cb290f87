"""Verifying ES256 (RFC 7518 section 3.4), as a service does that trusts the sidecar's signature alone.

Slow and plain, to be read: a real service takes a library.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Optional

# The curve P-256 (SP 800-186 section 3.2.1.3): y² = x³ - 3x + b over the field of P; N points, made from G.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)

Point = Optional[tuple[int, int]]


def verified_claims(token: str, keys: list[dict[str, Any]]) -> dict[str, Any]:
    """The claims of a JWT that one of these keys signed. An error says why there are none."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("it is no compact JWS")
    header = json.loads(decode(parts[0]))
    key = next((key for key in keys if key.get("kid") == header.get("kid")), None)
    if header.get("alg") != "ES256" or key is None or key.get("crv") != "P-256":
        raise ValueError(f"it is not signed with ES256 and a known key: {header}")
    signature = decode(parts[2])
    point = number(key["x"]), number(key["y"])
    if not verify(point, f"{parts[0]}.{parts[1]}".encode(), signature):
        raise ValueError("its signature is wrong")
    claims: dict[str, Any] = json.loads(decode(parts[1]))
    return claims


def verify(key: tuple[int, int], signed: bytes, signature: bytes) -> bool:
    """Whether the key made the signature (FIPS 186-5 section 6.4.2)."""
    x, y = key
    if len(signature) != 64 or (y * y - (x**3 - 3 * x + B)) % P:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < N and 0 < s < N):
        return False
    digest, inverse = int.from_bytes(hashlib.sha256(signed).digest(), "big"), pow(s, -1, N)
    point = add(times(digest * inverse % N, G), times(r * inverse % N, key))
    return point is not None and point[0] % N == r


def add(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times(factor: int, point: Point) -> Point:
    result: Point = None
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


def number(text: str) -> int:
    return int.from_bytes(decode(text), "big")


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

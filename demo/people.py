"""Who can log in, from the file with which the identity service starts, and with what."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from processes import DemoError

# One-time passwords change with each of these many seconds, and the identity service accepts the neighbours of the
# present one, each once and in order: three log-ins at once.
TOTP_STEP = 30
# How long a log-in may be under way, in seconds.
TOTP_MARGIN = 3

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(frozen=True)
class User:
    id: str
    email: str
    password: str
    totp: Optional[str]
    """The secret of one-time passwords, in base 32."""
    tenants: tuple[Optional[str], ...]
    """Where there is a membership; None is the platform."""


@dataclass(frozen=True)
class People:
    """All users and clients of a seed file, by id."""

    users: dict[str, User]
    clients: dict[str, str]
    _last_steps: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, seed: Path) -> People:
        content = json.loads(seed.read_text(encoding="utf-8"))
        users = {
            user["id"]: User(user["id"], user["email"], user["password"], user.get("totp"),
                             tuple(membership["tenant"] for membership in user.get("memberships", [])))
            for user in content["users"]
        }
        return cls(users, {client["id"]: client["secret"] for client in content.get("clients", [])})

    def credentials(self, user: str, tenant: Optional[str], device: str, otp: bool = False) -> dict[str, Any]:
        """The body of a log-in; with `otp`, by two factors. After three of those it may take half a minute."""
        known = self.users[user]
        body: dict[str, Any] = {"email": known.email, "password": known.password, "tenant": tenant, "device": device}
        if otp:
            if known.totp is None:
                raise DemoError(f"{user} has no 'totp' in the seed file, and so no one-time passwords")
            body["otp"] = one_time_password(known.totp, self._next_step(user))
        return body

    def _next_step(self, user: str) -> int:
        """The first time step whose password the user can still use."""
        earliest = int(time.time() + TOTP_MARGIN) // TOTP_STEP - 1
        step = max(earliest, self._last_steps.get(user, 0) + 1)
        time.sleep(max(0.0, (step - 1) * TOTP_STEP - time.time()))
        self._last_steps[user] = step
        return step

    def client_credentials(self, client: str) -> dict[str, Any]:
        """The body with which a service asks for a token of its own (RFC 6749 section 4.4)."""
        return {"grant_type": "client_credentials", "client_id": client, "client_secret": self.clients[client]}


def exchange(subject: str, tenant: Optional[str]) -> dict[str, Any]:
    """The body with which somebody asks for a token that acts on behalf of another (RFC 8693)."""
    return {"grant_type": TOKEN_EXCHANGE, "subject": subject, "tenant": tenant}


def one_time_password(secret: str, step: int, digits: int = 6) -> str:
    """The one-time password of a time step (RFC 6238, with HMAC-SHA-1 as the authenticator apps do it)."""
    key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = struct.unpack_from(">I", digest, offset)[0] & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)

"""What a row can look at besides status and reason, and what it can show."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterable, Optional

from client import Response
from es256 import verified_claims

# What is wrong with a response, or None.
Check = Callable[[Response], Optional[str]]
# What is worth showing of a response below its row.
Note = Callable[[Response], Optional[str]]


def both(*checks: Check) -> Check:
    """The first that is wrong."""
    return lambda response: next((problem for problem in (check(response) for check in checks) if problem), None)


# === what reached the service behind ===


def identity_seen(response: Response) -> dict[str, str]:
    """The identity headers that reached the service behind, as it says itself."""
    seen: dict[str, str] = response.json().get("identity", {})
    return seen


def show_identity(response: Response) -> str:
    # These are long and say nothing to a reader.
    left_out = ("x-session-id", "x-portcullis-assertion")
    pairs = [f"{name}={value}" for name, value in identity_seen(response).items() if name not in left_out]
    return "the service saw " + (" ".join(pairs) if pairs else "no identity headers")


def saw_identity(**expected: str) -> Check:
    """Each named header reached the service once with that value (`user_id` stands for `x-user-id`)."""

    def check(response: Response) -> Optional[str]:
        seen = identity_seen(response)
        for key, value in expected.items():
            name = "x-" + key.replace("_", "-")
            if seen.get(name) != value:
                return f"the service should have seen {name}: {value}, once, and saw {seen.get(name)}"
        return None

    return check


def saw_no_identity(response: Response) -> Optional[str]:
    seen = identity_seen(response)
    return f"no identity header should have reached the service, and these did: {seen}" if seen else None


def saw_none_of(sent: Iterable[tuple[str, str]]) -> Check:
    """None of the identity headers that the client sent reached the service with the value that it sent."""

    def check(response: Response) -> Optional[str]:
        seen = identity_seen(response)
        through = [f"{name}: {value}" for name, value in sent if value in seen.get(name.lower(), "").split(", ")]
        return f"these reached the service as the client sent them: {through}" if through else None

    return check


def saw_permissions(*expected: str) -> Check:
    """`x-user-permissions` reached the service once, with exactly these, in whatever order."""

    def check(response: Response) -> Optional[str]:
        seen = identity_seen(response).get("x-user-permissions", "")
        if sorted(seen.split(",")) != sorted(expected):
            return f"the service should have seen x-user-permissions with {sorted(expected)}, and saw {seen!r}"
        return None

    return check


def saw_assertion(keys: list[dict[str, Any]], **expected: Any) -> Check:
    """An assertion reached the service, signed with one of these keys, in date, with these claims among others."""

    def check(response: Response) -> Optional[str]:
        seen = identity_seen(response).get("x-portcullis-assertion", "")
        try:
            claims = verified_claims(seen, keys)
        except (ValueError, KeyError) as error:
            return f"the service should have seen a good assertion, and saw {seen!r}: {error}"
        if not claims["iat"] - 1 <= time.time() <= claims["exp"]:
            return f"the assertion is not in date: {claims}"
        said = {name: claims.get(name) for name in expected}
        return None if said == expected else f"expected {expected} in the assertion, got {said}"

    return check


def did_not_see(name: str) -> Check:
    """The header did not reach the service."""

    def check(response: Response) -> Optional[str]:
        seen = [line for line in response.json().get("headers", []) if line.startswith(f"{name}:")]
        return f"the service should not have seen {seen}" if seen else None

    return check


# === what the client received ===


def says(**expected: Any) -> Check:
    """The answer is a JSON object with these members, among others."""

    def check(response: Response) -> Optional[str]:
        answer = response.json()
        said = {name: answer.get(name) for name in expected} if isinstance(answer, dict) else answer
        return None if said == expected else f"expected {expected} in the answer, got {said}"

    return check


def has_header(name: str, start: str = "") -> Check:
    """The answer has the header, and its value begins so."""

    def check(response: Response) -> Optional[str]:
        value = response.header(name)
        if value is None or not value.startswith(start):
            return f"expected the header {name} to begin with {start!r}, got {value!r}"
        return None

    return check


def lists_session(session: str, **expected: Any) -> Check:
    """The list of sessions has this one, with these members among others."""

    def check(response: Response) -> Optional[str]:
        listed = {entry.get("id"): entry for entry in response.json().get("sessions", [])}
        if session not in listed:
            return f"session {session} is not in the list: {list(listed)}"
        said = {name: listed[session].get(name) for name in expected}
        return None if said == expected else f"session {session} should have {expected}, and has {said}"

    return check


def tells_nothing(response: Response) -> Optional[str]:
    """The refusal is the one that everybody gets: a title, its status, and a number to ask the operator about."""
    answer = response.json()
    kind = response.header("content-type")
    if kind != "application/problem+json" or sorted(answer) != ["request_id", "status", "title", "type"]:
        return f"expected nothing but a plain problem, got {kind} {answer}"
    titles = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}
    plain = {"type": "about:blank", "title": titles.get(response.status), "status": response.status}
    return None if plain.items() <= answer.items() else f"expected nothing but {plain}, got {answer}"


def challenges_with(start: str) -> Check:
    """The response carries a `WWW-Authenticate` header that begins so (RFC 6750 section 3)."""

    def check(response: Response) -> Optional[str]:
        challenge = response.header("www-authenticate")
        if challenge is None or not challenge.startswith(start):
            return f"expected a WWW-Authenticate header that begins with {start!r}, got {challenge!r}"
        return None

    return check


def show_challenge(response: Response) -> str:
    return f"WWW-Authenticate: {response.header('www-authenticate')}"

"""The machinery of the walk: sends a request, learns from Envoy's access log why it was answered so, and compares."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Optional

from client import AccessLog, Client, Response, reason_of
from processes import DemoError
from stack import ROOT, Stack
from table import Table

# What is wrong with a response, or None.
Check = Callable[[Response], Optional[str]]
# What is worth showing of a response below its row.
Note = Callable[[Response], Optional[str]]


class Walk:
    """One walk through the demo. A row differs when its status, its reason or its own check does."""

    def __init__(self, stack: Stack, table: Table) -> None:
        self.stack = stack
        self.table = table
        self.envoy = Client(stack.address("envoy"))
        self.identity = Client(stack.address("identity"))
        self.sidecar = Client(stack.address("admin"))
        self.access_log = AccessLog(stack.access_log)
        self._people = people(ROOT / "demo" / "seed.json")

    def step(self, step: str, method: str, path: str, status: int, reason: str, *, token: Optional[str] = None,
             headers: Iterable[tuple[str, str]] = (), body: Optional[dict[str, Any]] = None, check: Optional[Check] = None,
             note: Optional[Note] = None) -> Response:
        """One request through Envoy, one row."""
        response = self.envoy.request(method, path, token=token, headers=headers, body=body)
        self._row(step, method, path, status, reason, response, reason_of(self.access_log.entry(response)), check, note)
        return response

    def step_until(self, step: str, method: str, path: str, status: int, reason: str, *, token: str, within: float) -> Response:
        """The same request again and again until it is answered as expected, or time is up. One row, for the last."""
        start = time.monotonic()
        while True:
            response = self.envoy.request(method, path, token=token)
            elapsed = time.monotonic() - start
            got = reason_of(self.access_log.entry(response))
            if (response.status, got) == (status, reason) or elapsed >= within:
                break
            time.sleep(0.01)
        waited = f"after {elapsed * 1000:.0f} ms (allowed: {within * 1000:.0f} ms)"
        self._row(step, method, path, status, reason, response, got, None, lambda _: waited)
        return response

    def operator_step(self, step: str, method: str, path: str, status: int, *, body: Optional[dict[str, Any]] = None,
                      note: Optional[Note] = None) -> Response:
        """A request of the operator's to the identity service itself: it does not pass Envoy."""
        headers = [("authorization", f"Bearer {self.stack.admin_token}")]
        response = self.identity.request(method, path, headers=headers, body=body)
        self._row(step, method, path, status, "-", response, "-", None, note)
        return response

    def log_in(self, user: str, tenant: Optional[str], *, device: str = "laptop", lifetime: Optional[int] = None) -> dict[str, Any]:
        """A log-in that the walk needs but does not show. `lifetime` is that of the access token, in seconds."""
        body = self.credentials(user, tenant, device)
        if lifetime is not None:
            body["access_ttl"] = lifetime
        response = self.envoy.request("POST", "/v1/login", body=body)
        self.access_log.entry(response)
        if response.status != 200 or "access_token" not in response.json():
            raise DemoError(f"{user} cannot log in: {response.status} {response.body[:200]!r}")
        return response.json()

    def credentials(self, user: str, tenant: Optional[str], device: str = "laptop") -> dict[str, Any]:
        email, password = self._people[user]
        return {"email": email, "password": password, "tenant": tenant, "device": device}

    def _row(self, step: str, method: str, path: str, status: int, reason: str, response: Response, got: str,
             check: Optional[Check], note: Optional[Note]) -> None:
        problems = []
        if response.status != status:
            problems.append(f"expected status {status}" + what_it_says(response))
        if got != reason:
            problems.append(f"expected reason {reason}")
        if check and not problems:
            problem = check(response)
            if problem:
                problems.append(problem)
        shown = note(response) if note and not problems else None
        self.table.row(step, f"{method} {path}", status, response.status, got, shown, problems)


def people(seed: Path) -> dict[str, tuple[str, str]]:
    """Email and password by user id, from the file with which the identity service starts."""
    users = json.loads(seed.read_text(encoding="utf-8"))["users"]
    return {user["id"]: (user["email"], user["password"]) for user in users}


def what_it_says(response: Response) -> str:
    """The body of a refusal. Others stay hidden: they may hold tokens."""
    return f"; the body is {response.body[:200].decode(errors='replace')}" if response.status >= 400 and response.body else ""


def identity_seen(response: Response) -> dict[str, str]:
    """The identity headers that reached the service behind, as it says itself."""
    seen: dict[str, str] = response.json().get("identity", {})
    return seen


def show_identity(response: Response) -> str:
    # A session's id is long and says nothing to a reader.
    pairs = [f"{name}={value}" for name, value in identity_seen(response).items() if name != "x-session-id"]
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


def both(first: Check, second: Check) -> Check:
    return lambda response: first(response) or second(response)


def did_not_see(name: str) -> Check:
    """The header did not reach the service."""

    def check(response: Response) -> Optional[str]:
        seen = [line for line in response.json().get("headers", []) if line.startswith(f"{name}:")]
        return f"the service should not have seen {seen}" if seen else None

    return check


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

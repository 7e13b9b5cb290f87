"""The machinery of the walk: sends a request, learns from Envoy's access log why it was answered so, and compares."""

from __future__ import annotations

import os
import time
from typing import Any, Iterable, Optional

from checks import Check, Note
from client import AccessLog, Client, Response, reason_of
from people import People, exchange
from processes import DemoError, wait_until
from stack import Stack
from table import Table

# A revocation has to be enforced within one second.
REVOKED_WITHIN = 1.0
# The rest is bounded by how often the sidecar looks: at its configuration, at the keys, and Envoy at the sidecar.
NOTICED_WITHIN = 5.0
# For longer than that, the sidecar does not remember that an answer failed to come.
RETRY_SECONDS = 1.5


class Walk:
    """One walk through the demo. A row differs when its status, its reason or its own check does."""

    def __init__(self, stack: Stack, table: Table) -> None:
        self.stack = stack
        self.table = table
        self.envoy = Client(stack.address("envoy"))
        self.identity = Client(stack.address("identity"))
        self.sidecar = Client(stack.address("admin"))
        self.access_log = AccessLog(stack.access_log)
        self.people = People.read(stack.scenario.seed)

    # === rows ===

    def step(self, step: str, method: str, path: str, status: int, reason: str, *, token: Optional[str] = None,
             headers: Iterable[tuple[str, str]] = (), body: Any = None, check: Optional[Check] = None,
             note: Optional[Note] = None) -> Response:
        """One request through Envoy, one row."""
        sent = list(headers)
        response = self.envoy.request(method, path, token=token, headers=sent, body=body)
        got = reason_of(self.access_log.entry(response))
        if got == "target_unavailable" and got != reason:
            # On a busy machine a directory may miss its deadline. A client tries again, and finds the answer.
            time.sleep(RETRY_SECONDS)
            response = self.envoy.request(method, path, token=token, headers=sent, body=body)
            got = reason_of(self.access_log.entry(response))
        self._row(step, method, path, status, reason, response, got, check, note)
        return response

    def step_until(self, step: str, method: str, path: str, status: int, reason: str, *, within: float,
                   token: Optional[str] = None, headers: Iterable[tuple[str, str]] = (), body: Any = None,
                   check: Optional[Check] = None) -> Response:
        """The same request again and again until it is answered as expected, or time is up. One row, for the last."""
        sent = list(headers)
        start = time.monotonic()
        while True:
            response = self.envoy.request(method, path, token=token, headers=sent, body=body)
            elapsed = time.monotonic() - start
            got = reason_of(self.access_log.entry(response))
            if (response.status, got) == (status, reason) or elapsed >= within:
                break
            time.sleep(0.01)
        waited = f"after {elapsed * 1000:.0f} ms (allowed: {within * 1000:.0f} ms)"
        self._row(step, method, path, status, reason, response, got, check, lambda _: waited)
        return response

    def operator_step(self, step: str, method: str, path: str, status: int, *, body: Any = None,
                      check: Optional[Check] = None, note: Optional[Note] = None) -> Response:
        """A request of the operator's to the identity service itself: it does not pass Envoy."""
        headers = [("authorization", f"Bearer {self.stack.admin_token}")]
        response = self.identity.request(method, path, headers=headers, body=body)
        self._row(step, method, path, status, "-", response, "-", check, note)
        return response

    # === tokens that the walk needs but does not show ===

    def log_in(self, user: str, tenant: Optional[str], *, device: str = "laptop", lifetime: Optional[int] = None,
               otp: bool = False) -> dict[str, Any]:
        """A log-in. `lifetime` is that of the access token, in seconds; with `otp` it is one by two factors."""
        body = self.credentials(user, tenant, device, otp=otp)
        if lifetime is not None:
            body["access_ttl"] = lifetime
        return self._granted(f"{user} cannot log in", "/v1/login", body)

    def client_token(self, client: str) -> str:
        """A token that a service has of its own, for its id and secret."""
        body = self.people.client_credentials(client)
        return str(self._granted(f"{client} gets no token", "/v1/token", body)["access_token"])

    def on_behalf(self, token: str, user: str, tenant: Optional[str]) -> str:
        """A token with which whoever has `token` acts on behalf of the user."""
        granted = self._granted(f"nobody may act for {user}", "/v1/token", exchange(user, tenant), token)
        return str(granted["access_token"])

    def credentials(self, user: str, tenant: Optional[str], device: str = "laptop", *, otp: bool = False) -> dict[str, Any]:
        """The body of a log-in."""
        return self.people.credentials(user, tenant, device, otp)

    def _granted(self, failure: str, path: str, body: dict[str, Any], token: Optional[str] = None) -> dict[str, Any]:
        response = self.envoy.request("POST", path, token=token, body=body)
        self.access_log.entry(response)
        granted = response.json()
        if response.status != 200 or "access_token" not in granted:
            raise DemoError(f"{failure}: {response.status} {response.body[:200]!r}")
        return dict(granted)

    # === the policy in use ===

    def change_policy(self, old: str, new: str) -> str:
        """Changes a text that stands in the policy exactly once, without waiting for the sidecar to notice. The answer
        is the policy before that, for `write_policy`."""
        before = self.stack.policy.read_text(encoding="utf-8")
        if before.count(old) != 1:
            raise DemoError(f"the policy holds {old!r} {before.count(old)} times, and the walk wants to change it once")
        self.write_policy(before.replace(old, new))
        return before

    def write_policy(self, text: str) -> None:
        """By rename: whoever reads the file finds the old text or the new one."""
        temporary = self.stack.policy.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, self.stack.policy)

    def wait_for_load(self, successful: bool) -> None:
        """Until the last policy that the sidecar looked at was a good one, or was not."""
        what = "load the configuration" if successful else "refuse the configuration"
        wait_until(lambda: self._last_load_successful() == successful, f"the sidecar to {what}", timeout=NOTICED_WITHIN,
                   process=self.stack.sidecar)

    def _last_load_successful(self) -> bool:
        """What an operator's alert would look at."""
        metrics = self.sidecar.request("GET", "/metrics").body.decode()
        return "\nportcullis_configuration_last_load_successful 1\n" in metrics

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


def what_it_says(response: Response) -> str:
    """The body of a refusal. Others stay hidden: they may hold tokens."""
    return f"; the body is {response.body[:200].decode(errors='replace')}" if response.status >= 400 and response.body else ""

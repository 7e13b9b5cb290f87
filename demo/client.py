"""What the demo asks with: a plain HTTP client, and the reader of Envoy's access log that tells why an answer was given."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Optional

from processes import DemoError

REQUEST_TIMEOUT = 10.0
# Envoy writes a request's line within its flush interval; far above that on purpose.
LOG_TIMEOUT = 5.0


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> Optional[str]:
        return next((value for key, value in self.headers if key.lower() == name), None)

    def json(self) -> Any:
        """The body as JSON; an empty object when it is none, so that a check on it fails by itself."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


class Client:
    """Sends requests to one address exactly as they are given: no path is tidied up, no header is joined."""

    def __init__(self, address: str) -> None:
        self._address = address

    def request(self, method: str, path: str, *, token: Optional[str] = None, headers: Iterable[tuple[str, str]] = (),
                body: Any = None) -> Response:
        """`body` is what JSON can say, or bytes that are sent as they are, for `headers` to name their kind."""
        payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = list(headers)
        named = {name.lower() for name, _ in sent}
        if token is not None:
            sent.append(("authorization", f"Bearer {token}"))
        if body is not None and not isinstance(body, bytes) and "content-type" not in named:
            sent.append(("content-type", "application/json"))
        if (payload or method in ("POST", "PUT", "PATCH")) and not named & {"content-length", "transfer-encoding"}:
            sent.append(("content-length", str(len(payload))))
        connection = http.client.HTTPConnection(self._address, timeout=REQUEST_TIMEOUT)
        try:
            connection.putrequest(method, path, skip_host="host" in named, skip_accept_encoding=True)
            for name, value in sent:
                connection.putheader(name, value)
            connection.endheaders(payload)
            answer = connection.getresponse()
            return Response(answer.status, answer.getheaders(), answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"{method} {path} got no answer from {self._address}: {error!r}") from error
        finally:
            connection.close()


class AccessLog:
    """Envoy's access log, one JSON object a line. It holds the sidecar's reason, which the client is never told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._by_request: dict[str, dict[str, Any]] = {}
        self._without_request_id: list[dict[str, Any]] = []

    def entry(self, response: Response) -> dict[str, Any]:
        """The line about the request that got this response. Requests that Envoy refused before it gave them an id are
        taken in order: the demo is the only client."""
        request_id = response.header("x-request-id")
        deadline = time.monotonic() + LOG_TIMEOUT
        while True:
            self._read()
            if request_id is not None and request_id in self._by_request:
                return self._by_request.pop(request_id)
            if request_id is None and self._without_request_id:
                return self._without_request_id.pop(0)
            if time.monotonic() >= deadline:
                raise DemoError(f"Envoy's access log ({self._path}) has no line for request {request_id}")
            time.sleep(0.01)

    def _read(self) -> None:
        with self._path.open("rb") as log:
            log.seek(self._offset)
            new = log.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise DemoError(f"Envoy's access log ({self._path}) has a line that is not JSON: {line!r}") from error
            if entry.get("request_id"):
                self._by_request[entry["request_id"]] = entry
            else:
                self._without_request_id.append(entry)


def reason_of(entry: dict[str, Any]) -> str:
    """The sidecar's reason code; with `envoy:` in front, Envoy's, where the sidecar was not asked or did not answer."""
    if entry.get("reason"):
        return str(entry["reason"])
    details = str(entry.get("details") or "-")
    return "envoy:" + details.split("{")[0]

#!/usr/bin/env python3
"""A small service to stand behind Envoy: it answers every request with what reached it.

    python3 demo/service.py --name blog --port 9501

It makes no decision of its own: whatever arrives here was let through.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IDENTITY_HEADERS = (
    "x-user-id",
    "x-tenant-id",
    "x-user-roles",
    "x-user-permissions",
    "x-session-id",
    "x-user-scope",
    "x-user-attributes",
    "x-actor-id",
    "x-portcullis-assertion",
)
MAX_BODY_BYTES = 1 << 20


class EchoHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # Envoy keeps connections open
    server_version = "demo-service"
    sys_version = ""
    service = ""
    disable_nagle_algorithm = True

    def echo(self) -> None:
        if not self.skip_body():
            return
        sent = [(name.lower(), shown(name.lower(), value)) for name, value in self.headers.items()]
        answer = {
            "service": self.service,
            "method": self.command,
            "path": self.path,
            # What it takes for who is asking. A header that came twice shows both values.
            "identity": {
                name: ", ".join(value for other, value in sent if other == name)
                for name in IDENTITY_HEADERS
                if any(other == name for other, _ in sent)
            },
            "headers": [f"{name}: {value}" for name, value in sent],
        }
        body = (json.dumps(answer, indent=2) + "\n").encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def __getattr__(self, name: str) -> object:
        # The base class looks for a `do_` of each method by its name: any one is answered alike.
        if name.startswith("do_"):
            return self.echo
        raise AttributeError(name)

    def skip_body(self) -> bool:
        """Reads the body away, or the next request on this connection would begin in the middle of it. False when the
        answer has been given already: the body is too long, or cannot be read."""
        try:
            if "chunked" in self.headers.get("transfer-encoding", "").lower():
                self.skip_chunks()
            else:
                self.skip_bytes(int(self.headers.get("content-length") or 0))
            return True
        except ValueError:
            self.close_connection = True
            self.send_error(400)
            return False

    def skip_chunks(self) -> None:
        left = MAX_BODY_BYTES
        while True:
            size = int(self.rfile.readline(64).split(b";")[0], 16)
            left -= size
            if left < 0:
                raise ValueError("more than this service reads")
            self.skip_bytes(size)
            self.rfile.readline(64)
            if size == 0:
                return

    def skip_bytes(self, count: int) -> None:
        if not 0 <= count <= MAX_BODY_BYTES:
            raise ValueError("more than this service reads")
        self.rfile.read(count)

    def log_message(self, format: str, *args: object) -> None:
        print(f"{self.log_date_time_string()} {format % args}", flush=True)


def shown(name: str, value: str) -> str:
    """A token that is echoed ends in terminals and logs: its scheme is enough to see that it arrived."""
    if name != "authorization":
        return value
    scheme, _, credential = value.partition(" ")
    return f"{scheme} ({len(credential)} characters)"


class Server(ThreadingHTTPServer):
    daemon_threads = True  # an open connection must not hold up the end
    request_queue_size = 128


def main() -> int:
    parser = argparse.ArgumentParser(description="Echo service of the demo.")
    parser.add_argument("--name", required=True, help="what the service calls itself in its answers")
    parser.add_argument("--port", required=True, type=int, help="port on 127.0.0.1")
    options = parser.parse_args()
    handler = type("Handler", (EchoHandler,), {"service": options.name})
    try:
        server = Server(("127.0.0.1", options.port), handler)
    except OSError as error:
        print(f"cannot listen on 127.0.0.1:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"{options.name} listens on 127.0.0.1:{options.port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The programs of the demo: where they listen, how they are configured, and their start in order."""

from __future__ import annotations

import http.client
import re
import secrets
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Mapping, Optional

from processes import DemoError, Process, Processes, wait_until
from scenario import ROOT, Scenario

HOST = "127.0.0.1"
START_TIMEOUT = 20.0
# A Unix socket's path has room for 104 bytes on macOS and 108 on Linux.
LONGEST_FOLDER = 80
# Where the shipped configurations keep sockets, secrets and logs; in a copy that the demo runs, a folder of its own.
RUN_FOLDER = "/run/portcullis/"
# Where a policy keeps its audit trail, if it has one; in a copy, in the same folder.
LOG_FOLDER = "/var/log/portcullis/"
AUDIT_TRAIL = "audit.jsonl"
# In there, when a policy names it: the sidecar's credential at the identity service's directory.
SERVICE_TOKEN = "service.token"


@dataclass(frozen=True)
class Listener:
    """One port that the demo needs."""

    key: str
    wanted_by: str
    variable: str
    default: int


LISTENERS = (
    Listener("envoy", "Envoy", "DEMO_ENVOY_PORT", 10000),
    Listener("identity", "the identity service", "DEMO_IDENTITY_PORT", 9400),
    Listener("blog", "the service blog", "DEMO_BLOG_PORT", 9501),
    Listener("chatbot", "the service chatbot", "DEMO_CHATBOT_PORT", 9502),
    Listener("app", "the service app", "DEMO_APP_PORT", 9501),
    Listener("admin", "the sidecar's admin listener", "DEMO_ADMIN_PORT", 9193),
)


def listeners_of(scenario: Scenario) -> list[Listener]:
    return [listener for listener in LISTENERS if listener.key in ("envoy", "identity", "admin", *scenario.services)]


def configured_ports(scenario: Scenario, environment: Mapping[str, str]) -> dict[str, int]:
    """The default ports, or those of the environment; each must be free."""
    ports: dict[str, int] = {}
    for listener in listeners_of(scenario):
        text = environment.get(listener.variable) or str(listener.default)
        port = int(text) if text.isascii() and text.isdigit() else 0
        if not 0 < port < 65536:
            raise DemoError(f"{listener.variable} must be a port from 1 to 65535, not {text!r}")
        if port in ports.values():
            raise DemoError(f"port {port} is given twice: choose another for {listener.wanted_by} with {listener.variable}")
        try:
            _bind(port).close()
        except OSError as error:
            raise DemoError(
                f"port {port} cannot be used ({error.strerror}), and {listener.wanted_by} needs it: "
                f"end what holds it, or choose another with {listener.variable}=PORT"
            ) from error
        ports[listener.key] = port
    return ports


def ephemeral_ports(scenario: Scenario) -> dict[str, int]:
    """Ports that nobody uses now. All are held at once, so that none is given twice."""
    sockets = {listener.key: _bind(0) for listener in listeners_of(scenario)}
    try:
        return {key: bound.getsockname()[1] for key, bound in sockets.items()}
    finally:
        for bound in sockets.values():
            bound.close()


def _bind(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # As the programs themselves do it: connections of a past run that linger do not count as "in use".
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


def run_folder() -> Path:
    base = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="portcullis-demo-", dir=base if len(base) < LONGEST_FOLDER else "/tmp"))


def substitute(text: str, replacements: Mapping[str, str], source: Path) -> str:
    """Replaces literals, all in one pass, so that nothing that was put in is replaced again."""
    for literal in replacements:
        if literal not in text:
            raise DemoError(f"{source.relative_to(ROOT)} no longer holds {literal!r}, which the demo replaces")
    longest_first = sorted(replacements, key=len, reverse=True)
    pattern = re.compile("(?:" + "|".join(re.escape(literal) for literal in longest_first) + r")(?!\d)")
    return pattern.sub(lambda match: replacements[match.group()], text)


class Stack:
    """Everything that runs. `folder` holds the configurations in use, the sockets and a log for each program."""

    def __init__(self, processes: Processes, scenario: Scenario, ports: dict[str, int], folder: Path, bin_dir: Path,
                 envoy: Path) -> None:
        self._processes = processes
        self.scenario = scenario
        self._bin_dir = bin_dir
        self._envoy = envoy
        self.ports = ports
        self.folder = folder
        self.admin_token = secrets.token_urlsafe(32)
        self.policy = folder / "portcullis.yaml"
        self.access_log = folder / "access.log"
        self.audit_trail = folder / AUDIT_TRAIL
        self.sidecar: Optional[Process] = None
        self.identity: Optional[Process] = None
        self._service_token: Optional[str] = None

    def start(self) -> None:
        self._render_policy()
        self._render_envoy()
        self.start_identity()
        for name in self.scenario.services:
            self._start_service(name)
        self.start_sidecar()
        self._start_envoy()

    def address(self, key: str) -> str:
        return f"{HOST}:{self.ports[key]}"

    def start_sidecar(self) -> None:
        if self.sidecar is None:
            self.sidecar = self._process("sidecar", [self._binary("portcullis"), "run", "--config", self.policy])
        process = self._processes.start(self.sidecar)
        self._wait_for_answer(process, "admin", "/readyz", "the sidecar to be ready")

    def audit_verdict(self, trail: Path) -> tuple[int, str]:
        """What `portcullis audit verify` says of a trail: its exit status and its words."""
        command = [self._binary("portcullis"), "audit", "verify", trail]
        done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", timeout=START_TIMEOUT)
        return done.returncode, done.stdout + done.stderr

    def stop_sidecar(self) -> None:
        if self.sidecar:
            self.sidecar.interrupt()
            self.sidecar.end()

    def start_identity(self) -> None:
        """For the first time, or again with all that it knew: its database is a file."""
        if self.identity is None:
            command = [
                self._binary("portcullis-identity"), "serve",
                "--listen", self.address("identity"),
                "--database", self.folder / "identity.db",
                "--issuer", f"http://{self.address('identity')}",
                "--audience", "demo",
                "--seed", self.scenario.seed,
            ]
            # Secrets go by environment: a command line can be read by everybody on the machine.
            environment = {"PORTCULLIS_IDENTITY_ADMIN_TOKEN": self.admin_token}
            if self._service_token is not None:
                environment["PORTCULLIS_IDENTITY_SERVICE_TOKEN"] = self._service_token
            self.identity = self._process("identity", command, environment=environment)
        process = self._processes.start(self.identity)
        self._wait_for_answer(process, "identity", "/livez", "the identity service to answer")

    def stop_identity(self) -> None:
        if self.identity:
            self.identity.end()

    def _start_service(self, name: str) -> None:
        command = [sys.executable, ROOT / "demo" / "service.py", "--name", name, "--port", str(self.ports[name])]
        process = self._processes.start(self._process(name, command))
        self._wait_for_answer(process, name, "/health", f"the service {name} to answer")

    def _start_envoy(self) -> None:
        # Hot restart would tie Envoy's life to the shell that started it, and needs an id for each Envoy of the machine.
        command = [
            self._envoy, "--config-path", self.folder / "envoy.yaml", "--disable-hot-restart", "--concurrency", "1",
            "--file-flush-interval-msec", "50",
        ]
        process = self._processes.start(self._process("envoy", command, output=self.access_log))
        admin = self.folder / "envoy-admin.sock"
        wait_until(
            lambda: status(UnixConnection(admin), "/ready") == 200, "Envoy to be ready", timeout=START_TIMEOUT, process=process
        )
        # Ready or not, Envoy lets nothing pass before its first health check of the sidecar. A refusal will do: it is
        # the sidecar's.
        wait_until(
            lambda: status(http.client.HTTPConnection(HOST, self.ports["envoy"], timeout=2), "/") not in (None, 503),
            "Envoy to reach the sidecar", timeout=START_TIMEOUT, process=process,
        )

    def _process(self, name: str, command: Iterable[object], output: Optional[Path] = None,
                 environment: Optional[dict[str, str]] = None) -> Process:
        arguments = [str(part) for part in command]
        return Process(name, arguments, self.folder / f"{name}.log", output=output, environment=environment)

    def _wait_for_answer(self, process: Process, key: str, path: str, what: str) -> None:
        def answered() -> bool:
            return status(http.client.HTTPConnection(HOST, self.ports[key], timeout=2), path) == 200

        wait_until(answered, what, timeout=START_TIMEOUT, process=process)

    def _binary(self, name: str) -> Path:
        return self._bin_dir / name

    def _render_policy(self) -> None:
        source = self.scenario.policy
        text = source.read_text(encoding="utf-8")
        if f"{RUN_FOLDER}{SERVICE_TOKEN}" in text:
            self._service_token = secrets.token_urlsafe(32)
            path = self.folder / SERVICE_TOKEN
            path.touch(mode=0o600)
            path.write_text(self._service_token, encoding="utf-8")
        replacements = {
            "127.0.0.1:9400": self.address("identity"),
            "127.0.0.1:9193": self.address("admin"),
            RUN_FOLDER: f"{self.folder}/",
        }
        if LOG_FOLDER in text:
            replacements[LOG_FOLDER] = f"{self.folder}/"
        self.policy.write_text(substitute(text, replacements, source), encoding="utf-8")

    def _render_envoy(self) -> None:
        source = self.scenario.envoy
        replacements = {
            f"port_value: {listener.default}": f"port_value: {self.ports[listener.key]}"
            for listener in listeners_of(self.scenario) if listener.key != "admin"
        }
        replacements[RUN_FOLDER] = f"{self.folder}/"
        text = substitute(source.read_text(encoding="utf-8"), replacements, source)
        (self.folder / "envoy.yaml").write_text(text, encoding="utf-8")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, which is where Envoy's admin interface listens."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=2)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def status(connection: http.client.HTTPConnection, path: str) -> Optional[int]:
    """The status with which a GET of `path` is answered, if it is."""
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()

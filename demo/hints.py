"""What can be tried by hand while everything stays up: tokens on disk, and command lines that use them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Sequence

from processes import DemoError, Stopped
from table import BOLD

if TYPE_CHECKING:
    from walk import Walk

# Tokens live for 15 minutes or less; those on disk are renewed in time.
RENEW_TOKENS_SECONDS = 240


@dataclass(frozen=True)
class Hint:
    """A request worth trying, and what comes of it."""

    token: Optional[str]
    """Whose token is sent: a name of the list that the demo shows."""
    method: str
    path: str
    outcome: str
    more: str = ""
    """Further arguments of curl."""


def stay_up(walk: Walk, hints: Sequence[Hint]) -> None:
    """Shows what can be tried by hand, and waits for Ctrl-C."""
    table, stack = walk.table, walk.stack
    names = write_tokens(walk)
    envoy, admin = stack.address("envoy"), stack.address("admin")
    table.line("")
    table.line("Everything stays up until Ctrl-C. To try by hand:", BOLD)
    for name, address in (
        ("Envoy", f"http://{envoy}"),
        ("the sidecar", " ".join(f"http://{admin}{path}" for path in ("/readyz", "/metrics", "/config"))),
        ("keys", f"http://{stack.address('identity')}/.well-known/jwks.json"),
        ("policy in use", f"{stack.policy} (edit it: it is live)"),
        ("decisions", f"tail -f {stack.access_log}"),
        ("logs, tokens", str(stack.folder)),
    ):
        table.line(f"  {name:14} {address}")
    table.line("")
    table.line("In another terminal (tokens: " + ", ".join(names) + "):", BOLD)
    lines = command_lines(walk, hints)
    width = max(len(command) for command, comment in lines if comment)
    for command, comment in lines:
        table.line(f"  {command.ljust(width)}  # {comment}" if comment else f"  {command}")
    renewed = time.monotonic()
    try:
        while True:
            time.sleep(1)
            if time.monotonic() - renewed > RENEW_TOKENS_SECONDS:
                renewed = time.monotonic()
                try:
                    write_tokens(walk)
                except DemoError as error:  # perhaps because someone tries what happens without the sidecar
                    table.line(f"the tokens could not be renewed: {error}")
    except Stopped:
        table.line("")
        table.line("ending ...")


def command_lines(walk: Walk, hints: Sequence[Hint]) -> list[tuple[str, str]]:
    """Commands and what comes of them."""
    stack = walk.stack
    envoy, admin, folder = stack.address("envoy"), stack.address("admin"), stack.folder
    used = dict.fromkeys(hint.token for hint in hints if hint.token is not None)
    lines = [(f'{variable(name)}="authorization: Bearer $(cat {token_file(folder, name)})"', "") for name in used]
    for hint in hints:
        token = f' -H "${variable(hint.token)}"' if hint.token is not None else ""
        method = f" -X {hint.method}" if hint.method != "GET" else ""
        more = f" {hint.more}" if hint.more else ""
        lines.append((f"curl -i http://{envoy}{hint.path}{token}{method}{more}", hint.outcome))
    user, first = next(iter(walk.people.users.items()))
    body = json.dumps(walk.credentials(user, first.tenants[0], "terminal"), separators=(",", ":"))
    lines += [
        (f"curl -s http://{admin}/metrics | grep 'decisions_total.* [1-9]'", ""),
        (f"curl -s --unix-socket {folder}/envoy-admin.sock http://envoy/stats | grep ext_authz", ""),
        (f"curl -s http://{envoy}/v1/login -H 'content-type: application/json' -d '{body}'", ""),
    ]
    return lines


def write_tokens(walk: Walk) -> list[str]:
    """A fresh token for each membership of each user and for each client, in files that only this user of the machine can
    read. Returns their names: a user's id, for further memberships with the tenant behind it, and a client's id."""
    tokens = {}
    for user in walk.people.users.values():
        for number, tenant in enumerate(user.tenants):
            name = user.id if number == 0 else f"{user.id}-{tenant or 'platform'}"
            tokens[name] = str(walk.log_in(user.id, tenant, device="terminal", otp=user.totp is not None)["access_token"])
    for client in walk.people.clients:
        tokens[client] = walk.client_token(client)
    for name, token in tokens.items():
        path = token_file(walk.stack.folder, name)
        path.touch(mode=0o600)
        path.write_text(token, encoding="utf-8")
    return list(tokens)


def token_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.token"


def variable(name: str) -> str:
    """The name as a shell variable."""
    return "".join(letter if letter.isalnum() else "_" for letter in name.upper())

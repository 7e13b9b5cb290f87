#!/usr/bin/env python3
"""Runs Portcullis as it is meant to run: Envoy in front, two services behind, and an identity service.

Starts everything on this machine, walks through what users, attackers and operators do, and compares each answer with
what it should be. Then it stays up to be tried by hand, until Ctrl-C. `make demo` builds what it needs and calls it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from processes import DemoError, Processes, Stopped, StopSignals, log_tail
from stack import LISTENERS, ROOT, Stack, configured_ports, ephemeral_ports, run_folder
from steps import POST, run_all
from table import BOLD, Table
from walk import Walk

# Tokens live for 15 minutes; those on disk are renewed in time.
RENEW_TOKENS_SECONDS = 600
PEOPLE = (("alice", "acme"), ("bob", "acme"), ("carol", "acme"), ("eve", "globex"), ("root", None))


def main() -> int:
    options = parse_options()
    signals = StopSignals()
    signals.install()
    processes = Processes(signals)
    table = Table()
    folder = None
    try:
        bin_dir, envoy = options.bin_dir.resolve(), options.envoy.resolve()
        check_programs(bin_dir, envoy)
        ports = ephemeral_ports() if options.ephemeral else configured_ports(os.environ)
        with signals.held():
            folder = run_folder()
        stack = Stack(processes, ports, folder, bin_dir, envoy)
        table.line("starting the identity service, blog, chatbot, the sidecar and Envoy ...")
        stack.start()
        walk = Walk(stack, table)
        table.header()
        run_all(walk)
        table.summary()
        if not options.once:
            stay_up(walk)
        return 1 if table.differing else 0
    except DemoError as error:
        report(error, options.keep_logs)
        return 1
    except Stopped as stopped:
        return 128 + stopped.signal_number
    except BrokenPipeError:
        # Nobody reads the table any more (`| head`). Python would complain once more when it closes its output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        signals.hold_for_good()
        processes.end_all()
        if folder is not None:
            if options.keep_logs:
                table.line(f"logs and configurations are kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)


def parse_options() -> argparse.Namespace:
    ports = "\n".join(f"  {listener.variable:20} {listener.default:<6} {listener.wanted_by}" for listener in LISTENERS)
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"ports on 127.0.0.1, by environment variable:\n{ports}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--once", action="store_true", help="end after the walk; exit status 1 when a row differs")
    parser.add_argument("--ephemeral", action="store_true", help="use any free ports")
    parser.add_argument("--keep-logs", action="store_true", help="keep the folder with logs and configurations at the end")
    parser.add_argument("--bin-dir", type=Path, default=ROOT / "target" / "release", metavar="DIR",
                        help="where portcullis and portcullis-identity are (default: target/release)")
    parser.add_argument("--envoy", type=Path, default=ROOT / ".tools" / "envoy", metavar="PATH",
                        help="the Envoy to run (default: .tools/envoy)")
    return parser.parse_args()


def check_programs(bin_dir: Path, envoy: Path) -> None:
    for name in ("portcullis", "portcullis-identity"):
        if not os.access(bin_dir / name, os.X_OK):
            raise DemoError(f"there is no {name} in {bin_dir}: build it with `make build`, or say where it is with --bin-dir")
    if not os.access(envoy, os.X_OK):
        raise DemoError(f"there is no Envoy at {envoy}: install it with `make envoy`, or say where it is with --envoy")


def report(error: DemoError, logs_are_kept: bool) -> None:
    lines = [f"demo: {error}"]
    if error.log is not None:
        end = log_tail(error.log)
        lines.append(f"the end of {error.log.name}:" if end else f"{error.log.name} is empty")
        lines += [f"    {line}" for line in end]
        if not logs_are_kept:
            lines.append("(--keep-logs keeps all logs)")
    print("\n".join(lines), file=sys.stderr, flush=True)


def stay_up(walk: Walk) -> None:
    """Shows what can be tried by hand, and waits for Ctrl-C."""
    table, stack = walk.table, walk.stack
    write_tokens(walk)
    envoy, admin, tokens = stack.address("envoy"), stack.address("admin"), stack.folder
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
    table.line("In another terminal (tokens: " + ", ".join(f"{user}" for user, _ in PEOPLE) + "):", BOLD)
    body = '{"email":"bob@acme.example","password":"bob-demo-password","tenant":"acme","device":"terminal"}'
    post, other_tenant = f"curl -i http://{envoy}{POST}", f"curl -i http://{envoy}/blog/tenants/globex/posts/1"
    commands = (
        (f'BOB="authorization: Bearer $(cat {tokens}/bob.token)"', ""),
        (f'CAROL="authorization: Bearer $(cat {tokens}/carol.token)"', ""),
        (f'{post} -H "$BOB"', "200: bob may read"),
        (f'{post} -H "$BOB" -X PUT', "403: but not write"),
        (f'{post} -H "$CAROL" -X PUT', "200: carol is an editor"),
        (f'{other_tenant} -H "$CAROL"', "403: not her tenant"),
        (post, "401: no token"),
        (f"curl -i http://{envoy}/blog/health -H 'x-user-id: root'", "200: public; the header does not arrive"),
        (f"curl -s http://{admin}/metrics | grep 'decisions_total.* [1-9]'", ""),
        (f"curl -s --unix-socket {tokens}/envoy-admin.sock http://envoy/stats | grep ext_authz", ""),
        (f"curl -s http://{envoy}/v1/login -H 'content-type: application/json' -d '{body}'", ""),
    )
    width = max(len(command) for command, comment in commands if comment)
    for command, comment in commands:
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


def write_tokens(walk: Walk) -> None:
    """One fresh token for each user, in files that only this user of the machine can read."""
    for user, tenant in PEOPLE:
        path = walk.stack.folder / f"{user}.token"
        path.touch(mode=0o600)
        path.write_text(str(walk.log_in(user, tenant, device="terminal")["access_token"]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Runs Portcullis as it is meant to run: Envoy in front, services behind, and an identity service.

Starts everything on this machine, walks through what users, attackers and operators do, and compares each answer with
what it should be. Then it stays up to be tried by hand, until Ctrl-C. `make demo` builds what it needs and calls it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from hints import stay_up
from processes import DemoError, Processes, Stopped, StopSignals, log_tail
from scenario import ROOT, USUAL, example, example_names
from stack import LISTENERS, Stack, configured_ports, ephemeral_ports, run_folder
from table import Table
from walk import Walk


def main() -> int:
    options = parse_options()
    signals = StopSignals()
    signals.install()
    processes = Processes(signals)
    table = Table()
    folder = None
    try:
        scenario = example(options.example) if options.example is not None else USUAL
        bin_dir, envoy = options.bin_dir.resolve(), options.envoy.resolve()
        check_programs(bin_dir, envoy)
        scenario_walk = scenario.load_walk()
        ports = ephemeral_ports(scenario) if options.ephemeral else configured_ports(scenario, os.environ)
        with signals.held():
            folder = run_folder()
        stack = Stack(processes, scenario, ports, folder, bin_dir, envoy)
        table.line(f"starting the identity service, {', '.join(scenario.services)}, the sidecar and Envoy ...")
        stack.start()
        walk = Walk(stack, table)
        table.header()
        scenario_walk.run(walk)
        table.summary()
        if not options.once:
            stay_up(walk, scenario_walk.HINTS)
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
    parser.add_argument("--example", metavar="NAME", help="instead of the usual walk, an example: " + ", ".join(example_names()))
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


if __name__ == "__main__":
    sys.exit(main())

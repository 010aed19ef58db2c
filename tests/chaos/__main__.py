"""The command: `python -m tests.chaos [--seconds N] [--seed S]`, from the project's root.

Runs rounds, each in a process of its own, prints a line for each, and exits with 0 if nothing was found in any.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trustme

from .plan import Plan

_ROUND = 30.0  # seconds
_GRACE = 60.0  # how much longer a round may take
_DESCRIPTION = f"""Sets cancel, close, garbage collection, signals, forks and threads against streams, on this machine
alone, and checks what becomes of each stream. A round takes about {_ROUND:g} seconds. What it does is decided by its
seed, which is printed: a failed round is repeated by it."""


def main() -> int:
    """Runs rounds until the time is over; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=_DESCRIPTION)
    parser.add_argument("--seconds", type=float, default=_ROUND, metavar="N", help="of all rounds; default %(default)g")
    parser.add_argument("--seed", type=int, metavar="S", help="of the first round; the others have those after it")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    rounds = max(1, round(arguments.seconds / _ROUND))
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    failed = False
    with authority.cert_pem.tempfile(dir=tempfile.gettempdir()) as bundle:
        for number in range(rounds):
            plan = Plan.from_seed(seed + number)
            failed |= _failed(plan, seconds=arguments.seconds / rounds, tls=tls, bundle=bundle)
    return int(failed)


def _failed(plan: Plan, *, seconds: float, tls: ssl.SSLContext, bundle: str) -> bool:
    """Runs one round, and prints what became of it."""
    calm, rough = plan.servers(tls)
    began = time.monotonic()
    with calm, rough:
        given = {"seed": plan.seed, "seconds": seconds, "calm": calm.url, "rough": rough.url, "bundle": bundle}
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.round", json.dumps(given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if not name.startswith("ACYTOO_")},
        )
        out, said = _outcome(process, seconds=seconds + _GRACE)
        faults = [f"in the server: {error!r}" for error in (*calm.errors, *rough.errors)]
    if process.returncode:
        faults.append(f"the round ended with {process.returncode}:\n{said}")
        counts = {}
    else:
        told = json.loads(out)
        counts = told["counts"]
        faults += told["faults"]
    figures = ", ".join(f"{counts[name]} {name}" for name in sorted(counts, key=lambda name: -counts[name]))
    took = time.monotonic() - began
    print(f"{plan}; Python {platform.python_version()}: {figures}; {took:.0f} s: {'FAILED' if faults else 'ok'}")
    for fault in faults[:10]:
        print("   ", fault.replace("\n", "\n    "))
    if faults:
        again = f"{sys.executable} -m {__package__} --seed {plan.seed} --seconds {seconds:g}"
        print(f"    {len(faults)} found; to repeat: {again}")
    sys.stdout.flush()
    return bool(faults)


def _outcome(process: subprocess.Popen[str], *, seconds: float) -> tuple[str, str]:
    """What a process wrote to its two outputs; it is ended when it takes too long."""
    for _ in range(math.ceil(seconds)):  # one by one: a machine that stands still costs one of them
        try:
            return process.communicate(timeout=1)
        except subprocess.TimeoutExpired:  # noqa: PERF203
            pass
    process.send_signal(signal.SIGABRT)  # for the tracebacks of all threads
    return process.communicate()


if __name__ == "__main__":
    sys.exit(main())

"""Keeps a check on this machine: g4f looks for new versions, keeps files in the home folder, and knows many hosts."""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import sys
import tempfile


def stay_here() -> None:
    """Refuses every connection but those to this machine, and gives the process a home folder that goes with it."""
    home = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in list(os.environ):
        if name.startswith(("ACYTOO_", "G4F_", "XDG_")) or name.upper().endswith("_PROXY"):
            del os.environ[name]
    os.environ["HOME"] = os.environ["APPDATA"] = home
    os.chdir(home)
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"
        if not ipaddress.ip_address(host).is_loopback:
            raise PermissionError(f"a connection to {host} was refused: this check stays on its machine")
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "::1", "localhost", None):
        raise PermissionError(f"{arguments[0]!r} was not looked up: this check stays on its machine")

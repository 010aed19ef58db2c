"""Which server a command asks: the one that is named, or one that is started for `--local`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from ..errors import InvalidRequestError
from ..testing import FakeServer
from .display.terminal import Terminal
from .options import Flags
from .settings.clients import read_settings
from .settings.merging import Settings


@contextmanager
def settings_in_force(flags: Flags, terminal: Terminal) -> Iterator[Settings]:
    """The settings of a command that asks a server; what is not sent there is told.

    Raises:
        InvalidRequestError: nobody named a server, or a setting is not usable.
    """
    if flags.local and "base_url" in flags.values:
        raise InvalidRequestError("--local starts a server of its own: leave --base-url out")
    with FakeServer() if flags.local else nullcontext() as server:
        settings = read_settings(flags, base_url=server.url if server else None)
        if settings.found["base_url"].source == "default":
            raise InvalidRequestError(
                "no server: pass --base-url URL, set ACYTOO_BASE_URL, or try --local; "
                "`acytoo config set base_url URL` keeps it"
            )
        for sentence in settings.withheld:
            terminal.tell(sentence)
        yield settings

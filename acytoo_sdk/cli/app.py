"""The command group: what `acytoo --help` shows, and how any subcommand's failure is told."""

from __future__ import annotations

from typing import Any

import click

from .._display.markdown import printable
from .._version import __version__
from ..errors import AcytooError
from .ask import ask
from .serve import serve


class _Group(click.Group):
    """Tells errors of the SDK in one sentence with its hint, and Ctrl-C by the exit status shells expect."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AcytooError as error:
            hint = f" (hint: {error.hint})" if error.hint else ""
            raise click.ClickException(printable(f"{error}{hint}")) from error
        except KeyboardInterrupt:
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="acytoo-sdk %(version)s")
def app() -> None:
    """Streams chat replies from endpoints that send bare UTF-8 text.

    The server is named by --base-url or ACYTOO_BASE_URL; ACYTOO_KEY, ACYTOO_PASSWORD and ACYTOO_MODEL are honoured.
    Secrets are taken from the environment alone: arguments can be seen by every user of the machine.
    """


app.add_command(ask)
app.add_command(serve)

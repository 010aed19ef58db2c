r"""The IPython extension: `%%acytoo` asks what its cell says, and one conversation goes on from cell to cell.

    pip install 'acytoo-sdk[notebook]'

    %load_ext acytoo_sdk
    %acytoo --config base_url=https://chat.example.com model=gpt-3.5-turbo key=$MY_KEY

    %%acytoo -s "Answer in one sentence." -o answer
    What is a stream?

Options of a cell, %%acytoo:

    -s, --system TEXT       instructions to the model, from this cell on
    -m, --model NAME        the model, for this cell
    -t, --temperature T     0 to 2, for this cell
    -o, --output VARIABLE   where the text of the reply goes, a str; if the reply is stopped or breaks, what had arrived
    -f, --fill              {name} stands for the variable of that name, and for nothing else; {{ and }} are braces
    --raw                   shows the reply as it is, not as Markdown
    --new                   begins a new conversation

Options of a line, %acytoo, one at a time; without any, it shows this text:

    --config                    shows the settings, but of key and password only whether they are set
    --config NAME=VALUE ...     changes settings, all of these or, where one is not usable, none:
        base_url, path              where the server is
        model, temperature          of each call
        key, password               given as $NAME alone, as is client
        payload                     acytoo, ai-sdk, prompt, or a function's $NAME
        retry                       how many attempts a call may have
        timeout                     seconds for all of a reply, or none
        timeout.connect, .first_byte, .idle, .total     one limit, in seconds, or none
        client                      a Client of your own, which the other settings then modify
    --history                   shows the conversation
    --reset                     forgets the conversation

A value $NAME, after -s and -m as well, is that of the variable NAME of the notebook, or else of the environment. A key
or a password cannot be typed here, since what is typed is saved with the notebook; neither is ever shown. Where nothing
is set, ACYTOO_BASE_URL, ACYTOO_KEY, ACYTOO_PASSWORD and ACYTOO_MODEL are read.

A cell waits for its reply, and shows it as Markdown while it arrives, in one output that is saved with the notebook.
The stop button closes the connection; what had arrived stays. A reply that is stopped or breaks fails its cell, and
leaves the conversation as it was. Errors of this package are shown in a few lines: the sentence, a hint, and what had
arrived; %tb shows the full traceback.

A reply is shown safely: whatever it contains, no script in it runs and nothing is loaded. HTML is shown as text,
pictures become links, and links lead to the web or to mail. Formulas ($...$, $$...$$, \(...\), \[...\], \begin{align})
are set by JupyterLab, Notebook and exports, as long as they consist of ordinary TeX; all others, and all formulas in
editors that set none in HTML, are shown as they were written. Code stays as it is, to the letter, in the colours of the
theme. The text as it came, but for control characters, is the output's text/plain.

Without the extension, a cell that ends in a stream, `client.stream("Hi")`, shows the reply in the same way.
`stream.display()` does so in the middle of a cell, and `await stream.display()` for an AsyncClient. The text is then in
`stream.text`, also after the stop button. No event loop is needed.
"""

from __future__ import annotations

import argparse
import keyword
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from ._checks import check_secret
from ._client import Client
from ._display.output import show_in_brief
from ._options import OPTIONS, Options, Timeout
from ._secrets import Secret, clears_frames
from ._templates import Template
from .conversation import Conversation
from .errors import AcytooError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

_SECRETS = [name for name, option in OPTIONS.items() if option.check is check_secret]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Registers the magics, and shows every uncaught `AcytooError` in a few lines; a second time changes nothing.

    Args:
        shell: the IPython that loads it.
    """
    from IPython.core.magic import no_var_expand

    if _session_of(shell) is not None:
        return
    session = Session(shell)

    def acytoo(line: str, cell: str | None = None) -> None:
        session.run(line, cell)

    acytoo.__doc__ = __doc__  # what `%acytoo?` shows
    acytoo.__dict__["session"] = session
    shell.register_magic_function(no_var_expand(acytoo), "line_cell", "acytoo")
    session.take_errors()


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Takes the magics, their conversation, and the short errors away again.

    Args:
        shell: the IPython that loaded it.
    """
    session = _session_of(shell)
    if session is not None:
        for magics in shell.magics_manager.magics.values():
            magics.pop("acytoo", None)
        session.give_errors_back()
        session.close()


def _session_of(shell: InteractiveShell) -> Session | None:
    session: Session | None = getattr(shell.find_line_magic("acytoo"), "session", None)
    return session


class Session:
    """What the magics of one IPython keep between cells: the settings, the client, and the conversation.

    Args:
        shell: the IPython.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._settings: Secret[dict[str, Any]] = Secret({})
        self._given: Client | None = None
        self._client: Client | None = None
        self._conversation: Conversation | None = None
        self._before: tuple[tuple[type[BaseException], ...], Any] = ((), None)

    def run(self, line: str, cell: str | None) -> None:
        """Runs `%acytoo LINE`, or `%%acytoo LINE` with the cell below it."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            _refuse(f"{error} in the options")
        if cell is None:
            self._run_line(words)
        else:
            self._run_cell(words, cell)

    def close(self) -> None:
        """Closes the client, unless it is the user's."""
        if self._client is not None and self._given is None:
            self._client.close()

    def take_errors(self) -> None:
        """From now on, uncaught errors of this package are shown in a few lines; all others as before."""
        shell = self._shell
        self._before = kinds, show = shell.custom_exceptions, shell.CustomTB

        def show_error(
            shell: InteractiveShell,
            kind: type[BaseException],
            error: BaseException,
            traceback: TracebackType | None,
            tb_offset: int | None = None,
        ) -> Any:
            if not isinstance(error, AcytooError):
                return show(kind, error, traceback, tb_offset=tb_offset)
            show_in_brief(shell, error)
            return None

        shell.set_custom_exc((AcytooError, *kinds), show_error)
        self._shown_by = shell.CustomTB

    def give_errors_back(self) -> None:
        """Errors are shown as before, unless somebody else has taken them meanwhile."""
        if self._shell.CustomTB is self._shown_by:
            self._shell.custom_exceptions, self._shell.CustomTB = self._before

    def _run_cell(self, words: Sequence[str], cell: str) -> None:
        options = _cell_options().parse_args(words)
        variable: str | None = options.output
        if variable is not None and (not variable.isidentifier() or keyword.iskeyword(variable)):
            _refuse(f"-o takes the name of a variable, not {variable!r}")
        question = _filled(cell, self._shell.user_ns) if options.fill else cell
        if not question.strip():
            _refuse("the cell is empty: write the question below the first line")
        before = None if options.new else self._conversation
        conversation = self._connected().conversation(
            system=None if options.system is None else self._value(options.system),
            messages=[] if before is None else before.messages,
            model=None if options.model is None else self._value(options.model),
            temperature=options.temperature,
        )
        stream = conversation.send(question.removesuffix("\n"))
        try:
            stream.display(raw=options.raw)
        finally:
            if variable is not None:
                self._shell.push({variable: stream.text})
        self._conversation = conversation

    def _run_line(self, words: Sequence[str]) -> None:
        options = _line_options().parse_args(words)
        if options.reset:
            self._conversation = None
        elif options.history:
            self._show_history()
        elif options.config is None:
            print(__doc__)
        else:
            if options.config:
                self._configure(options.config)
            self._show_settings()

    def _connected(self) -> Client:
        if self._given is None and "base_url" not in self._settings.reveal() and not os.environ.get("ACYTOO_BASE_URL"):
            _refuse("no server: say %acytoo --config base_url=https://..., or set ACYTOO_BASE_URL")
        if self._client is None:
            self._client = Client(**self._settings.reveal())
        return self._client

    @clears_frames
    def _configure(self, words: Sequence[str]) -> None:
        """Changes settings, all or none of them."""
        settings, given = dict(self._settings.reveal()), self._given
        for word in words:
            name, equals, text = word.partition("=")
            if not equals:
                _refuse("--config takes NAME=VALUE, without blanks around the =")
            if name == "client":
                given = self._variable(name, text)
                if not isinstance(given, Client):
                    _refuse(f"client must be a Client, not {type(given).__name__}")
            elif name.startswith("timeout."):
                known = _client(settings, given).options.timeout
                settings["timeout"] = _limited(known, name.partition(".")[2], self._value(text))
            else:
                value = self._variable(name, text) if name in _SECRETS else self._value(text)
                settings[name] = _parsed(name, value)
        client = _client(settings, given)
        self.close()
        self._settings, self._given, self._client = Secret(settings), given, client

    def _value(self, text: str) -> Any:
        """A text that was typed, or the variable it stands for."""
        return self._variable("", text) if text.startswith("$") and text[1:].isidentifier() else text

    def _variable(self, name: str, text: str) -> Any:
        """What `$NAME` stands for. The text may be a secret that was typed by mistake: nothing repeats it."""
        key = text[1:]
        if not text.startswith("$") or not key.isidentifier():
            _refuse(
                f"{name} is not typed, since it would be saved with the notebook: {name}=$NAME takes it from a variable"
            )
        if key in self._shell.user_ns:
            return self._shell.user_ns[key]
        if key in os.environ:
            return os.environ[key]
        return _refuse(f"${key} is no variable of the notebook, nor of the environment")

    def _show_settings(self) -> None:
        options = self._client.options if self._client else Options.of(self._settings)
        for name in sorted(OPTIONS, key=_SECRETS.__contains__):
            if OPTIONS[name].from_text is not None:
                value = getattr(options, name)
                shown = value if name not in _SECRETS else "set" if value else "not set"
                print(f"{name:12} {shown}")

    def _show_history(self) -> None:
        if self._conversation is None:
            print("No conversation yet.")
            return
        from IPython.display import display

        display(self._conversation)


class _Options(argparse.ArgumentParser):
    """Options of a magic: what is wrong with them is told in one line."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized"):
            # What does not look like one may be a secret that stands in the wrong place, as may what follows it.
            looks_like_one = re.search(r" (--[a-z]+(?:-[a-z]+)*|-[A-Za-z])(?=[= ]|$)", message)
            message = f"{looks_like_one[1] if looks_like_one else 'that'} is no option"
        _refuse(f"{message}; %acytoo shows the options")


def _cell_options() -> _Options:
    options = _Options(prog="%%acytoo", add_help=False, allow_abbrev=False)
    options.add_argument("-s", "--system")
    options.add_argument("-m", "--model")
    options.add_argument("-t", "--temperature", type=float)
    options.add_argument("-o", "--output")
    options.add_argument("-f", "--fill", action="store_true")
    options.add_argument("--raw", action="store_true")
    options.add_argument("--new", action="store_true")
    return options


def _line_options() -> _Options:
    options = _Options(prog="%acytoo", add_help=False, allow_abbrev=False)
    one = options.add_mutually_exclusive_group()
    one.add_argument("--reset", action="store_true")
    one.add_argument("--history", action="store_true")
    one.add_argument("--config", nargs="*")
    return options


def _refuse(sentence: str) -> NoReturn:
    """Ends a magic with one line."""
    from IPython.core.error import UsageError

    raise UsageError(sentence)


def _client(settings: Mapping[str, Any], given: Client | None) -> Client:
    """A client with these settings; on the connections of the user's, if one was given."""
    return Client(**settings) if given is None else given.with_options(**settings)


def _parsed(name: str, value: Any) -> Any:
    """The value of a setting; what it may be is for the client to say."""
    option = OPTIONS.get(name)
    if option is None or option.from_text is None:
        return _refuse(f"no setting is called {name!r}; %acytoo shows them")
    if not isinstance(value, str):
        return value
    try:
        return option.from_text(value)
    except ValueError:
        pass  # it quotes the value, which may be a secret's variable taken for another
    return _refuse(f"{name} must be a number")


def _limited(known: Timeout, limit: str, value: object) -> Timeout:
    """A timeout with one limit changed."""
    limits = [each.name for each in fields(known)]
    if limit not in limits:
        _refuse(f"timeout has the limits {', '.join(limits[:-1])} and {limits[-1]}")
    return replace(known, **{limit: _parsed("timeout", value)})


def _filled(cell: str, variables: Mapping[str, object]) -> str:
    """The cell with `{name}` replaced by the text of that variable; nothing is evaluated."""
    try:
        template = Template(cell)
    except ValueError as error:
        _refuse(f"-f: {error}; {{{{ and }}}} stand for braces")
    for name in template.names:
        if not name.isidentifier():
            _refuse("-f fills in names of variables, as {name}, and nothing else; {{ and }} stand for braces")
        if name not in variables:
            _refuse(f"-f: the notebook has no variable {name}; {{{{ and }}}} stand for braces")
    return template.fill(variables)

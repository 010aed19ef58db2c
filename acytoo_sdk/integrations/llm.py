"""A plugin for the program `llm` and its library: the model `acytoo`, which asks the server that `acytoo` asks.

    pip install 'acytoo-sdk[llm]'
    acytoo config set base_url https://chat.example.com
    llm -m acytoo 'Hi'
    llm chat -m acytoo

Its settings are those of the command line: the environment (`ACYTOO_BASE_URL`, ...), then the user's file, in which
`ACYTOO_PROFILE` chooses a profile. All of them are read when a prompt is run and not before, so that nothing in them
can keep `llm` from starting; and only then is the rest of the package imported. The file's `system` is left alone: what
is sent is what `llm` knows, and logs.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import AcytooError, InvalidRequestError

try:
    import click
    import llm
    from pydantic import Field
except ModuleNotFoundError as error:
    if error.name not in ("click", "llm", "pydantic"):
        raise
    raise ModuleNotFoundError(
        "acytoo_sdk.integrations.llm needs llm: pip install 'acytoo-sdk[llm]'", name=error.name
    ) from None

if TYPE_CHECKING:
    from .._secrets import Secret
    from .._streams.base import BaseStream
    from ..protocol import Message

C = TypeVar("C")

_logger = logging.getLogger("acytoo_sdk")

# What the command line advises, and what to do in `llm` instead.
_ADVICE = (
    (r"set another key: .*", "set another key: llm keys set acytoo"),
    (r"--timeout SECONDS", "-o timeout SECONDS"),
    (r"pass --ca FILE", "acytoo config set ca FILE"),
    (r"pass it as --base-url", "acytoo config set base_url takes it"),
    (r"is set by --path", "is set by `acytoo config set path`"),
    (r"--base-url", "base_url"),
    (r"--path", "path"),
)
# The flags of `llm prompt` that print something else than the reply, which has to be whole for that.
_WANT_ALL = ("extract", "extract_last", "json_output")
_NOUNS = {
    "AttachmentPart": "an attachment",
    "ToolCallPart": "a tool call",
    "ToolResultPart": "the result of a tool",
}


@llm.hookimpl  # type: ignore[untyped-decorator]
def register_models(register: Any) -> None:
    """Tells `llm` of the model."""
    register(Acytoo(), AsyncAcytoo())


class AcytooModelError(llm.ModelError, click.ClickException):  # type: ignore[misc]
    """A prompt failed: what `acytoo` says of it, in one sentence; the SDK's own error is its `__cause__`.

    As an exception of click's, it is shown without a traceback by `llm chat`, too.
    """


class AcytooOptions(llm.Options):  # type: ignore[misc]
    """What `-o NAME VALUE` sets; None, for each: as the settings say."""

    temperature: float | None = Field(
        default=None, ge=0, le=2, description="From 0 to 2; where it is not set, the settings of acytoo decide."
    )
    timeout: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="The most seconds a reply may take, retries included."
    )
    model: str | None = Field(default=None, min_length=1, description="The name of the model at the server.")


class _Asking:
    """What both models have in common."""

    model_id = "acytoo"
    needs_key = "acytoo"
    key_env_var = "ACYTOO_KEY"  # shown by `llm models --options`; it is read with the settings
    key: str | None = None
    can_stream = True
    Options = AcytooOptions

    def __init__(self) -> None:
        self._made: tuple[object, Any] | None = None

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """The key that `llm` was told, by `--key` or `llm keys set acytoo`; None: the settings may have one.

        Args:
            explicit_key: a key, or the name of one that `llm` keeps.
        """
        if self.key is not None:
            return self.key
        known: str | None = llm.get_key(input=explicit_key, alias=self.needs_key)
        return known

    def client(self, kind: type[C], key: Secret[str]) -> C:
        """A client with the settings as they are now; the same one as long as they stay as they are.

        So a chat keeps its connection, and a `key_command` is run once.

        Args:
            kind: the class of the client; a model always asks for the same one.
            key: what `llm` was given as a key; empty for none.

        Raises:
            InvalidRequestError: nobody named a server, or a setting is not usable.
        """
        from ..cli.options import Flags
        from ..cli.settings.clients import make_client, read_settings

        settings = read_settings(Flags({"key": key} if key else {}, None, False))
        if settings["base_url"] is None:
            raise InvalidRequestError(
                "no server: set ACYTOO_BASE_URL, or keep one with `acytoo config set base_url URL`"
            )
        made = self._made
        if made is None or made[0] != settings.found:
            for sentence in settings.withheld:
                _logger.warning(sentence)
            made = self._made = settings.found, make_client(kind, settings)
        client: C = made[1]
        return client


class Acytoo(_Asking, llm.KeyModel):  # type: ignore[misc]
    """The model `acytoo`, for the program and for blocking code.

    Example:
        model = llm.get_model("acytoo")
        for piece in model.prompt("Hi", temperature=0.2):
            print(piece, end="", flush=True)
    """

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any, key: str | None) -> Iterator[str]:
        """Asks, and hands out the reply as it arrives; closing the iterator closes the connection.

        Args:
            prompt: what is asked: its messages, and its options.
            stream: whether `llm` shows the pieces as they come; they come in any case.
            response: is told the model that was asked, and at the end what is known of the reply.
            conversation: is not looked at: the messages hold all of it.
            key: of `get_key`.

        Raises:
            AcytooModelError: the call failed, or something cannot be sent.
        """
        from .._client import Client
        from .._secrets import Secret

        wrapped = Secret(key or "")
        del key
        with _told_to_llm(streamed=stream):
            client = self.client(Client, wrapped)
            with client.stream(_messages(prompt), **_arguments(prompt.options)) as reply:
                _tell_model(response, prompt, client)
                yield from reply
                response.response_json = _outcome(reply)


class AsyncAcytoo(_Asking, llm.AsyncKeyModel):  # type: ignore[misc]
    """The model `acytoo` for async code.

    Example:
        model = llm.get_async_model("acytoo")
        async for piece in model.prompt("Hi"):
            print(piece, end="", flush=True)
    """

    async def execute(
        self, prompt: Any, stream: bool, response: Any, conversation: Any, key: str | None
    ) -> AsyncGenerator[str, None]:
        """The same as that of `Acytoo`, with the same arguments."""
        from anyio import to_thread

        from .._async_client import AsyncClient
        from .._secrets import Secret

        wrapped = Secret(key or "")
        del key
        with _told_to_llm(streamed=stream):
            # A command that prints the key may take its time.
            client = await to_thread.run_sync(self.client, AsyncClient, wrapped)
            async with client.stream(_messages(prompt), **_arguments(prompt.options)) as reply:
                _tell_model(response, prompt, client)
                async for piece in reply:
                    yield piece
                response.response_json = _outcome(reply)


def _messages(prompt: Any) -> list[Message]:
    """The whole conversation, as `llm` has it.

    Raises:
        InvalidRequestError: there is nothing to answer, or something that is no text.
    """
    from llm.parts import ReasoningPart, TextPart

    messages: list[Message] = []
    for message in prompt.messages:
        for part in message.parts:
            if not isinstance(part, TextPart | ReasoningPart):
                noun = _NOUNS.get(type(part).__name__, "something")
                raise InvalidRequestError(f"there is {noun} in the conversation, and acytoo sends text alone")
        # What a model has thought for itself is of no use to another one.
        if text := "".join(part.text for part in message.parts if isinstance(part, TextPart)):
            messages.append({"role": message.role, "content": text})
    if all(message["role"] == "system" for message in messages):
        raise InvalidRequestError("the prompt is empty")
    return messages


def _arguments(options: Any) -> dict[str, Any]:
    """The options of a prompt as arguments of `stream`."""
    from ..cli.settings.clients import limits

    total = options.timeout
    return {
        "model": options.model,
        "temperature": options.temperature,
        "timeout": ... if total is None else limits(total),
    }


def _tell_model(response: Any, prompt: Any, client: Any) -> None:
    """Has the log name the model that is asked, where the server is told of one."""
    if client.options.payload == "acytoo":
        response.set_resolved_model(prompt.options.model or client.options.model)


def _outcome(reply: BaseStream) -> dict[str, Any]:
    """What the log keeps of a reply beside its text."""
    return {
        "request_id": reply.head.request_id if reply.head else None,
        "whole": reply.whole,
        "notice": reply.notice,
    }


@contextmanager
def _told_to_llm(*, streamed: bool) -> Iterator[None]:
    """Turns an error of a call into one that `llm` shows in one sentence, below what had arrived.

    Args:
        streamed: whether the pieces were asked for as they come.
    """
    try:
        yield
    except AcytooError as error:
        if error.partial_text:
            _show(error.partial_text, streamed=streamed)
        raise AcytooModelError(_sentence(error)) from error
    except ModuleNotFoundError as error:
        raise AcytooModelError(f"acytoo needs {error.name}: pip install 'acytoo-sdk[llm]'") from error


def _show(text: str, *, streamed: bool) -> None:
    """Prints what had arrived of a reply that broke off, or ends its line, where a command of `llm` prints replies."""
    context, program = click.get_current_context(silent=True), sys.modules.get("llm.cli")
    if context is None or program is None:
        return
    prints = context.command is program.prompt
    if context.command is program.chat or (prints and streamed):  # a chat shows pieces in any case
        click.echo("", nl=not text.endswith("\n"))
    elif prints and not any(context.params.get(name) for name in _WANT_ALL):
        click.echo(text, nl=not text.endswith("\n"))


def _sentence(error: AcytooError) -> str:
    """What the command line says of an error, with the options of `llm` in it. What a server said stays as it is."""
    from ..cli.statuses import hint_of, in_one_line, sentence_of

    sentence, hint = sentence_of(error), hint_of(error)
    if isinstance(error, InvalidRequestError):
        sentence = _in_words_of_llm(sentence)
    return in_one_line(sentence, hint and _in_words_of_llm(hint))


def _in_words_of_llm(text: str) -> str:
    for advised, instead in _ADVICE:
        text = re.sub(advised, instead, text)
    return text

"""Streams chat replies from endpoints that send bare UTF-8 text, and tells the truth about how they ended.

    from acytoo_sdk import Client

    client = Client("https://chat.example.com")
    for piece in client.stream("Hi"):
        print(piece, end="", flush=True)

What there is, in the order in which people need it. `help(NAME)`, or `python -m pydoc acytoo_sdk.NAME`, says more.

    Client                          blocks; safe to share between threads
        .stream(messages)           a reply, piece by piece, as it arrives
        .complete(messages)         a reply, as one text
        .conversation()             keeps the turns, and sends them with each question
        .map(prompts)               many prompts, some at once
        .with_options(...)          another client on the same connections
    AsyncClient                     the same, on asyncio and trio
    Stream, AsyncStream             a reply on its way: `text`, `head`, `whole`, `stats`, `read()`, `cancel()`
    Conversation, AsyncConversation `send`, `ask`, `retry`, `undo`, `save`, `load`
    Message                         one turn: `role` and `content`
    Timeout, RetryPolicy            the limits of a call, in seconds; how often, and when, it is tried again
    ReplyHead, Stats                status and headers of a reply; its figures

    AcytooError                     the base of all errors; `partial_text` is the text that had arrived
        InvalidRequestError         an argument is not usable; nothing was sent
        APIConnectionError          no connection, or it broke before the first text
            APITimeoutError         a limit ran out; `phase` says which
        APIStatusError              an error status: BadRequestError, AuthenticationError, PermissionDeniedError,
                                    NotFoundError, RateLimitError, ServerError, RedirectError
        UnexpectedReplyError        no error status, but no text either: EmptyReplyError, DecodeError,
                                    ReplyTooLargeError
        StreamInterruptedError      the connection broke after the first text
        StreamCancelledError        somebody cancelled the stream, or closed the client
        ClientClosedError           the client was closed

    acytoo_sdk.batch                what `map` returns
    acytoo_sdk.events               what happens to calls: for logs, counts and traces
    acytoo_sdk.testing              FakeServer: a real local server, which fails as a test asks it to
    acytoo_sdk.integrations         llm, LangChain, OpenTelemetry, Ray; recipes for other frameworks
    acytoo_sdk.notebook             `%load_ext acytoo_sdk`
    acytoo_sdk.provider             the provider class that users of g4f know
    acytoo_sdk.protocol             the wire alone, without I/O

Nothing but names lives in this file. Each is imported at its first use, so that `import acytoo_sdk` costs next to
nothing.
"""

from __future__ import annotations

from importlib import import_module

from ._version import __version__ as __version__

TYPE_CHECKING = False  # type checkers take it for typing's, whose import would take longer than all the rest
if TYPE_CHECKING:
    from ._async_client import AsyncClient as AsyncClient
    from ._client import Client as Client
    from ._options import RetryPolicy as RetryPolicy
    from ._options import Timeout as Timeout
    from ._stats import Stats as Stats
    from ._streams.async_stream import AsyncStream as AsyncStream
    from ._streams.stream import Stream as Stream
    from .conversation import AsyncConversation as AsyncConversation
    from .conversation import Conversation as Conversation
    from .errors import AcytooError as AcytooError
    from .errors import APIConnectionError as APIConnectionError
    from .errors import APIStatusError as APIStatusError
    from .errors import APITimeoutError as APITimeoutError
    from .errors import AuthenticationError as AuthenticationError
    from .errors import BadRequestError as BadRequestError
    from .errors import ClientClosedError as ClientClosedError
    from .errors import DecodeError as DecodeError
    from .errors import EmptyReplyError as EmptyReplyError
    from .errors import InvalidRequestError as InvalidRequestError
    from .errors import NotFoundError as NotFoundError
    from .errors import PermissionDeniedError as PermissionDeniedError
    from .errors import RateLimitError as RateLimitError
    from .errors import RedirectError as RedirectError
    from .errors import ReplyTooLargeError as ReplyTooLargeError
    from .errors import ServerError as ServerError
    from .errors import StreamCancelledError as StreamCancelledError
    from .errors import StreamInterruptedError as StreamInterruptedError
    from .errors import UnexpectedReplyError as UnexpectedReplyError
    from .protocol import Message as Message
    from .protocol import ReplyHead as ReplyHead

_NAMES_IN = {
    "_async_client": "AsyncClient",
    "_client": "Client",
    "_options": "RetryPolicy Timeout",
    "_stats": "Stats",
    "_streams.async_stream": "AsyncStream",
    "_streams.stream": "Stream",
    "conversation": "AsyncConversation Conversation",
    "errors": """
        AcytooError APIConnectionError APIStatusError APITimeoutError AuthenticationError BadRequestError
        ClientClosedError DecodeError EmptyReplyError InvalidRequestError NotFoundError PermissionDeniedError
        RateLimitError RedirectError ReplyTooLargeError ServerError StreamCancelledError StreamInterruptedError
        UnexpectedReplyError
    """,
    "protocol": "Message ReplyHead",
}
_MODULE_OF = {name: module for module, names in _NAMES_IN.items() for name in names.split()}

__all__ = sorted([*_MODULE_OF, "__version__"])  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: object) -> None:
    """Adds `%acytoo` and `%%acytoo` to a notebook; IPython calls it for `%load_ext acytoo_sdk`."""
    import_module(".notebook", __name__).load_ipython_extension(shell)


def unload_ipython_extension(shell: object) -> None:
    """Takes them out again; IPython calls it for `%unload_ext acytoo_sdk`."""
    import_module(".notebook", __name__).unload_ipython_extension(shell)

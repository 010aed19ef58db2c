"""Streams chat replies from endpoints that send bare UTF-8 text: `Client` blocks, `AsyncClient` awaits.

    from acytoo_sdk import Client

    for piece in Client("https://chat.example.com").stream("Hi"):
        print(piece, end="", flush=True)

Every public name is imported at its first use, so that `import acytoo_sdk` costs next to nothing.
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

_ROOMS = {
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
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = sorted([*_ROOM_OF, "__version__"])  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: object) -> None:
    """For `%load_ext acytoo_sdk`."""
    import_module(".notebook", __name__).load_ipython_extension(shell)


def unload_ipython_extension(shell: object) -> None:
    """For `%unload_ext acytoo_sdk`."""
    import_module(".notebook", __name__).unload_ipython_extension(shell)

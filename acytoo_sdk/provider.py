"""The door for g4f's users: `Acytoo`, the provider class they know, on the clients of this package.

Change the import, and point `ACYTOO_BASE_URL` to a server of your own:

    from acytoo_sdk.provider import Acytoo

    async for block in Acytoo.create_async_generator("gpt-3.5-turbo", [{"role": "user", "content": "Hi"}]):
        print(block, end="")

`create_async` waits for the whole text, and `create_completion` is an ordinary generator, which needs no event loop.
`temperature`, `timeout`, `proxy`, `key`, `password` and `base_url` are honoured. Any other keyword is ignored, also
`api_key`, which may belong to another service. `provider(base_url=..., **options)` makes a class for another server,
with any option of `Client`. Today's g4f takes such a class as it is: `g4f.client.Client(provider=Mine)`,
`AsyncClient(provider=Mine)` and `g4f.ChatCompletion.create(..., provider=Mine)`.

What is different from the old class:

    the old class                            this one
    UnicodeDecodeError where a network       characters arrive whole
      chunk cuts a character
    always asks for gpt-3.5-turbo            asks for the model that is named; for `default_model`
                                               where that is "" or None
    no limits, no retries, errors of         `Timeout`, `RetryPolicy` and this package's errors,
      aiohttp                                  which keep the text so far
    a web page or an advertisement comes     a page is an error, an advertisement is stripped
      as the reply
    working = False                          True once `url` is a server of yours
    bad arguments fail while the reply is    they fail at the call
      read

Nothing of g4f is imported: it asks for no more than a class with the right attributes and classmethods. Of the wire,
nothing is known here either: each call is a client's.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import urlsplit

from ._async_client import AsyncClient
from ._checks import check_base_url
from ._client import Client
from ._secrets import Secret, clears_frames
from .protocol import DEFAULT_BASE_URL, DEFAULT_MODEL, Message

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import Arguments

Messages = list[dict[str, str]]
"""A conversation, oldest message first."""
AsyncResult = AsyncGenerator[str, None]
"""The blocks of a reply, for `async for`."""
CreateResult = Generator[str, None, None]
"""The blocks of a reply, for `for`."""


class AsyncGeneratorProvider:
    """What g4f knows of a provider: attributes and class methods; nobody needs an instance.

    Attributes:
        url: the address of the server.
        label: the name in listings; None for none.
        working: whether calls can succeed.
        live: a counter of g4f's: up for a call that ends well, down for another.
        needs_auth: whether g4f has to log in first.
        supports_stream: whether blocks come as they are made.
        supports_message_history: whether earlier turns are sent.
        supports_system_message: whether system messages are sent.
        supports_gpt_35_turbo: whether the model of that name is there.
        use_stream_timeout: whether g4f's own limit on each block is its `stream_timeout`, and not `timeout`.
        default_model: the model that is asked where a call names none.
        models: the names of the models, for listings.
    """

    url: ClassVar[str] = ""
    label: ClassVar[str | None] = None
    working: ClassVar[bool] = False
    live: ClassVar[int] = 0
    needs_auth: ClassVar[bool] = False
    supports_stream: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = False
    supports_system_message: ClassVar[bool] = False
    supports_gpt_35_turbo: ClassVar[bool] = False
    use_stream_timeout: ClassVar[bool] = True
    default_model: ClassVar[str] = ""
    models: ClassVar[list[str]] = []

    @classmethod
    def create_async_generator(
        cls, model: str | None, messages: Sequence[Mapping[str, object]], proxy: str | None = None, **kwargs: object
    ) -> AsyncResult:
        """Starts a reply, as an async generator of its blocks; each provider has its own.

        Args:
            model: its name; None or "" for the default.
            messages: the conversation, oldest first.
            proxy: address of a proxy, or None.
            kwargs: whatever else the provider takes.

        Returns:
            An async generator of non-empty blocks; joined they are the reply.

        Raises:
            NotImplementedError: the class has no such method of its own.
        """
        raise NotImplementedError(f"{cls.__name__} has no create_async_generator")

    @classmethod
    async def create_async(cls, model: str | None, messages: Sequence[Mapping[str, object]], **kwargs: Any) -> str:
        """Waits for the whole reply of `create_async_generator`.

        Args:
            model: its name; None or "" for the default.
            messages: the conversation, oldest first.
            kwargs: those of `create_async_generator`, `proxy` too.

        Returns:
            The text of the reply.

        Raises:
            AcytooError: as `Acytoo.create_async_generator` and reading do; `partial_text` holds what had arrived.
        """
        given = Secret(kwargs)
        del kwargs
        return "".join([block async for block in cls.create_async_generator(model, messages, **given.reveal())])

    @classmethod
    def get_models(cls, **kwargs: object) -> list[str]:
        """The names of the models.

        Args:
            kwargs: ignored; g4f passes some.

        Returns:
            A copy of `models`.
        """
        return list(cls.models)

    @classmethod
    def get_parent(cls) -> str:
        """The name under which g4f looks for credentials.

        Returns:
            The name of the class.
        """
        return cls.__name__

    @classmethod
    def get_dict(cls) -> dict[str, str | None]:
        """What g4f puts into its answers.

        Returns:
            A dict of `name`, `url` and `label`.
        """
        return {"name": cls.__name__, "url": cls.url, "label": cls.label}


class _Computed:
    """An attribute of a class that is computed each time it is read; assigning to it replaces it by a plain value."""

    def __init__(self, compute: Callable[[Any], object]) -> None:
        self._compute = compute

    def __get__(self, instance: object, owner: type) -> object:
        return self._compute(owner)


def _computed(compute: Callable[[Any], object]) -> Any:
    return _Computed(compute)


_NO_SECRETS = {"key": "", "password": "", "headers": None}


def _is_own_server(url: str) -> bool:
    """Whether a URL names another host than the old public one."""
    try:
        return urlsplit(url).hostname != urlsplit(DEFAULT_BASE_URL).hostname
    except ValueError:
        return True  # and the call will say what is wrong with it


class Acytoo(AsyncGeneratorProvider):
    """The provider that g4f had, for a server of your own; today's g4f takes it too.

    Point it to your server: by `ACYTOO_BASE_URL`, by `provider(base_url=...)`, by `base_url=` in a call, or by setting
    `Acytoo.url`. The public host it is named after no longer answers. Each call is made by a `Client` or an
    `AsyncClient`. So no block is cut within a character, `Timeout` limits the call, `RetryPolicy` retries it before its
    first text, and it fails in the errors of this package, which keep the text so far.

    Attributes:
        working: whether `url` is a server of yours, and not the old public host.
        default_model: from `provider(model=...)` or `ACYTOO_MODEL`; else "gpt-3.5-turbo".

        All others are those of every provider.

    Example:
        >>> import asyncio
        >>> from acytoo_sdk.testing import FakeServer
        >>> async def main():
        ...     messages: Messages = [{"role": "user", "content": "Привет, как дела?"}]
        ...     async for block in Acytoo().create_async_generator(model="gpt-3.5-turbo", messages=messages):
        ...         print(block)
        >>> with FakeServer("Хорошо!") as server:
        ...     os.environ["ACYTOO_BASE_URL"] = server.url
        ...     asyncio.run(main())
        ...     del os.environ["ACYTOO_BASE_URL"]
        Хорошо!
    """

    label = "Acytoo"
    supports_message_history = True
    supports_system_message = True
    supports_gpt_35_turbo = True
    url = _computed(lambda cls: os.environ.get("ACYTOO_BASE_URL") or DEFAULT_BASE_URL)
    working = _computed(lambda cls: _is_own_server(cls.url))
    default_model = _computed(
        lambda cls: cls._options().reveal().get("model") or os.environ.get("ACYTOO_MODEL") or DEFAULT_MODEL
    )
    models = _computed(lambda cls: [cls.default_model])

    @classmethod
    def create_async_generator(
        cls, model: str | None, messages: Sequence[Mapping[str, object]], proxy: str | None = None, **kwargs: object
    ) -> AsyncResult:
        """Starts a reply. Arguments are checked, and the messages copied, at once.

        Args:
            model: its name; None or "" for `default_model`.
            messages: the conversation, oldest first; further keys of a message are sent too.
            proxy: address of a proxy; None: the one of `provider(proxy=...)`, or the environment's.
            kwargs: `temperature`, `timeout`, `key`, `password` and `base_url` are those of `Client`; None for what the
                class says. All others are ignored, since g4f passes many; `api_key` too, which may belong to another
                service. With a `base_url` of its own, a call sends no key, password or header of the class's, but only
                what it is given itself.

        Returns:
            An `AsyncStream` of non-empty blocks; where they are cut carries no meaning. Reading it raises what that
            class lists.

        Raises:
            InvalidRequestError: an argument is not usable, or no server is named for a key or a password; the message
                names it.
        """
        given = Secret({**kwargs, "proxy": proxy})
        del kwargs, proxy
        return AsyncClient(**cls._arguments(model, given).reveal()).stream(_typed(messages))

    @classmethod
    def create_completion(
        cls, model: str | None, messages: Sequence[Mapping[str, object]], stream: bool = True, **kwargs: object
    ) -> CreateResult:
        """Starts a reply; blocking, and needs no event loop. Arguments are checked, and the messages copied, at once.

        Args:
            model: its name; None or "" for `default_model`.
            messages: the conversation, oldest first; further keys of a message are sent too.
            stream: changes nothing, since blocks always come as they arrive; `"".join(...)` is the whole text.
            kwargs: those of `create_async_generator`, `proxy` too.

        Returns:
            A `Stream` of non-empty blocks; where they are cut carries no meaning. Reading it raises what that class
            lists.

        Raises:
            InvalidRequestError: an argument is not usable, or no server is named for a key or a password; the message
                names it.
        """
        given = Secret(kwargs)
        del kwargs
        return Client(**cls._arguments(model, given).reveal()).stream(_typed(messages))

    @classmethod
    def _options(cls) -> Secret[Mapping[str, Any]]:
        """What `provider` was told."""
        return Secret({})

    @classmethod
    def _given_url(cls) -> str | None:
        """The server that the class or the environment names; None where `url` is only the default one."""
        computed = isinstance(inspect.getattr_static(cls, "url"), _Computed)
        return (os.environ.get("ACYTOO_BASE_URL") or None) if computed else cls.url

    @classmethod
    @clears_frames
    def _arguments(cls, model: str | None, given: Secret[Mapping[str, Any]]) -> Secret[dict[str, Any]]:
        """The arguments of the client for one call: from the call, else the class, else the environment."""
        kwargs, options = given.reveal(), cls._options().reveal()
        arguments = {**options, "model": model or cls.default_model}
        arguments["base_url"] = url = kwargs.get("base_url") or cls._given_url()
        own_url = options.get("base_url") or os.environ.get("ACYTOO_BASE_URL")
        if own_url and url and check_base_url("base_url", url) != check_base_url("base_url", own_url):
            # What the class was given is for the server it was given with.
            arguments |= {name: value for name, value in _NO_SECRETS.items() if name in options}
        if url:
            # The client makes this one call: there is no other to keep its connection for.
            arguments["headers"] = {"connection": "close", **(arguments.get("headers") or {})}
        if kwargs.get("proxy"):
            arguments["proxy"] = kwargs["proxy"]
        for name in ("temperature", "timeout", "key", "password"):
            if kwargs.get(name) is not None:
                arguments[name] = kwargs[name]
        return Secret(arguments)


def provider(base_url: str, **options: Unpack[Arguments]) -> type[Acytoo]:
    """Makes a provider class for a server; nothing is opened or sent.

    Today's g4f takes the class as it is: `g4f.client.Client(provider=Mine)`, `g4f.client.AsyncClient(provider=Mine)`,
    and `g4f.ChatCompletion.create(..., provider=Mine)`.

    Args:
        base_url: the address of the server, as for `Client`.
        options: any other argument of `Client`; what a call says takes their place.

    Returns:
        A class like `Acytoo`, with a `live` of its own.

    Raises:
        InvalidRequestError: an argument is not usable; the message names it.

    Example:
        >>> from acytoo_sdk.testing import FakeServer
        >>> with FakeServer("Hello!") as server:
        ...     Mine = provider(server.url, model="tiny", temperature=0.2)
        ...     "".join(Mine.create_completion("", [{"role": "user", "content": "Hi"}]))
        'Hello!'
        >>> Mine.working, Mine.default_model
        (True, 'tiny')
    """
    given: Secret[dict[str, Any]] = Secret({"base_url": base_url, **options})
    del base_url, options
    Client(**given.reveal())  # checks them all, and opens nothing

    class Provider(Acytoo):
        __doc__ = Acytoo.__doc__
        url = given.reveal()["base_url"]
        live = 0

        @classmethod
        def _options(cls) -> Secret[Mapping[str, Any]]:
            return given

    Provider.__name__ = Provider.__qualname__ = Acytoo.__name__
    return Provider


def _typed(messages: Sequence[Mapping[str, object]]) -> list[Message]:
    """Casts the messages for the type checker; the client checks what is in them."""
    return cast("list[Message]", messages)

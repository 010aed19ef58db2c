"""The blocking client: `Client` holds what was configured, and starts streams, conversations and batches.

Its signature and its docstring are what people and editors read. Nothing is checked or sent here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, TypeVar

from . import _display
from ._base_client import BaseClient
from ._checks import StrPath
from ._options import RetryPolicy, Timeout
from ._secrets import Secret
from ._streams.stream import Stream
from .events import Listener
from .protocol import DEFAULT_MAX_REPLY_BYTES, DEFAULT_PATH, MessageLike, Messages, Payload

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from ssl import SSLContext

    from typing_extensions import Self

    from .batch import Map
    from .conversation import Conversation

T = TypeVar("T")


class Client(BaseClient):
    """Streams chat replies from an endpoint that sends bare UTF-8 text; blocking.

    Safe to share between threads. Nothing is opened before the first call, and connections are kept for the next one
    until `close()`, or the end of a `with` block. A client pickles as its configuration, for pools of processes: the
    pickle holds the key, the password, the headers and the proxy in clear, so keep it as you keep the key. The copy
    makes connections of its own, and so does a forked child.

    An argument beats its environment variable (`ACYTOO_BASE_URL`, `ACYTOO_KEY`, `ACYTOO_PASSWORD`, `ACYTOO_MODEL`),
    which beats the default. The default host is the old public one. It no longer answers, and may be anybody's by now:
    no key, no password and no header of yours is sent there unless you name it.

    Redirects are never followed, since the body holds the key. `~/.netrc` is not read, cookies are not kept, compressed
    replies are not accepted, and loopback addresses never go through a proxy of the environment.

    Args:
        base_url: scheme, host and maybe a path of your server, for instance "https://chat.example.com". Required with a
            key, a password or headers, wherever those come from.
        key: the service's key, "" for none. Never shown.
        password: the service's password, "" for none. Never shown.
        model: the model's name; default "gpt-3.5-turbo".
        temperature: 0 to 2; default 0.5.
        path: the endpoint below `base_url`.
        headers: added to each request, or in place of the standard headers; not `host` nor `content-length`. Never
            shown, but for those that hold no secret: `user-agent`, `accept` and the like.
        timeout: limits in seconds, see `Timeout`; a number is `Timeout(total=number)`, None switches all of them off.
        retry: how often an attempt that failed before its first text is made again, see `RetryPolicy`; an int is
            `RetryPolicy(attempts=int)`, and 1 means no retries.
        proxy: address of a proxy for everything; None: the environment's (`HTTPS_PROXY`, `NO_PROXY`, ...).
        verify: whether servers must have a certificate that is trusted; or the path of a CA bundle or folder to trust;
            or an `ssl.SSLContext` of your own, for a key with a password, or ciphers or versions of your choice. It
            serves for servers and for proxies that speak TLS, is used as it is, and left as it was; limits end a hung
            read over it too. A client with one does not pickle.
        cert: what is shown to servers that ask who you are (mutual TLS), not to proxies: the path of a PEM file with a
            certificate and its key, not encrypted, or the paths of the two; read at the first request.
        strip_notices: whether an advertisement after a reply is taken off, and kept in `Stream.notice`.
        max_reply_bytes: the longest reply accepted, in bytes; None for no bound.
        payload: the body of a request. "acytoo": the five keys of the wire. "ai-sdk": the UI messages of the Vercel AI
            SDK, for endpoints made for its `useChat` that answer by `toTextStreamResponse`. "prompt": one text, for
            those made for its `useCompletion`. In these two, the server chooses model and temperature, which are not
            sent. What they have no place for is refused before anything is sent: a key or a password (such servers read
            `headers`), a role that UI messages lack, a second message in a prompt. Or a function that makes a JSON
            object of a dict of `key`, `model`, `messages`, `temperature` and `password`. It is called once a call, with
            secrets in clear and messages of its own, and every attempt sends what it returned; it must not block where
            the call is async. A client pickles with it only if the function does.
        on_event: a function that is told what happens to the calls of this client, see `acytoo_sdk.events`; None: none.

    Raises:
        InvalidRequestError: an argument, or an environment variable, is not usable, or base_url is missing; the message
            names it.

    Example:
        >>> from acytoo_sdk.testing import FakeServer
        >>> with FakeServer("Hello!") as server, Client(server.url) as client:
        ...     client.complete("Hi")
        'Hello!'
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        key: str | None = None,
        password: str | None = None,
        model: str | None = None,
        temperature: float | None = None,
        path: str = DEFAULT_PATH,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout | float | None = Timeout(),  # noqa: B008 - frozen
        retry: RetryPolicy | int = RetryPolicy(),  # noqa: B008 - frozen
        proxy: str | None = None,
        verify: bool | StrPath | SSLContext = True,
        cert: StrPath | tuple[StrPath, StrPath] | None = None,
        strip_notices: bool = True,
        max_reply_bytes: int | None = DEFAULT_MAX_REPLY_BYTES,
        payload: Payload = "acytoo",
        on_event: Listener | None = None,
    ) -> None:
        given = Secret(
            {
                "base_url": base_url,
                "key": key,
                "password": password,
                "model": model,
                "temperature": temperature,
                "path": path,
                "headers": headers,
                "timeout": timeout,
                "retry": retry,
                "proxy": proxy,
                "verify": verify,
                "cert": cert,
                "strip_notices": strip_notices,
                "max_reply_bytes": max_reply_bytes,
                "payload": payload,
                "on_event": on_event,
            }
        )
        del base_url, key, password, path, headers, proxy
        super().__init__(given)

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> Stream:
        """Starts a reply. Arguments are checked at once; the request is sent at the first `next()`.

        Each `next()` blocks until a piece arrives; pieces come out the moment they do, however the server frames its
        reply. Attempts that fail before the first text are made again, as `retry` says; nothing is repeated after it.

        Args:
            messages: the conversation, oldest first; a `str` is one user message. Copied: later changes do not reach
                the call.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: instead of the client's; None keeps that.

        Returns:
            A generator of non-empty `str`; where pieces are cut carries no meaning, but never within a character;
            joined they are the reply. What reading may raise is listed at `Stream`.

        Raises:
            InvalidRequestError: an argument is not usable; the message names the place, as `messages[0].content`.
            ClientClosedError: the client was closed.

        Example:
            >>> from acytoo_sdk.testing import FakeServer
            >>> with FakeServer(["Hel", "lo!"]) as server:
            ...     for piece in Client(server.url).stream("Hi"):
            ...         print(piece, end="")
            Hello!
        """
        stream = Stream(self._call(messages, model, temperature, timeout, retry), _display)
        self._pool.add(stream)
        return stream

    def complete(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> str:
        """Waits for the whole reply: exactly `"".join(stream(...))`, with the same arguments.

        Args:
            messages: the conversation, oldest first; a `str` is one user message. Copied: later changes do not reach
                the call.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: instead of the client's; None keeps that.

        Returns:
            The text of the reply.

        Raises:
            AcytooError: as `stream` and its `Stream` do; `partial_text` holds what had arrived.
        """
        return "".join(self.stream(messages, model=model, temperature=temperature, timeout=timeout, retry=retry))

    def conversation(
        self,
        *,
        system: str | None = None,
        messages: Sequence[MessageLike] = (),
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
        limit_characters: int | None = None,
    ) -> Conversation:
        """Begins a conversation, which keeps the turns and sends them with each question. Nothing is sent yet.

        Args:
            system: a system message in front of the turns, in place of one that `messages` begins with; None: none.
            messages: the turns so far, oldest first. Copied.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: for each reply, instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: for each reply, instead of the client's; None keeps that.
            limit_characters: the most characters that are sent with a question; the oldest turns that do not fit are
                left out, whole. None for no bound.

        Returns:
            A `Conversation`: `send` streams a reply, `ask` waits for it.

        Raises:
            InvalidRequestError: an argument is not usable; the message names it.
        """
        from .conversation import Conversation

        return Conversation(
            self,
            system=system,
            messages=messages,
            model=model,
            temperature=temperature,
            timeout=timeout,
            retry=retry,
            limit_characters=limit_characters,
        )

    def map(
        self,
        prompts: Iterable[T],
        *,
        prompt: Callable[[T], Messages] | None = None,
        concurrency: int = 8,
        ordered: bool = True,
        window: int | None = None,
        requests_per_minute: float | None = None,
        journal: StrPath | None = None,
        executor: Executor | None = None,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> Map[T]:
        """Asks many prompts, some at once, and hands out what becomes of each; sends nothing before the first `next()`.

        An error stays with its prompt, and the others go on. A server that has too many requests (429, or 503 with
        `Retry-After`) makes all of them pause, and costs none of them an attempt while others get their replies; after
        as many pauses in a row without one reply as `retry` has attempts, prompts that are refused so fail. Since only
        whole replies are handed out, a prompt whose reply broke off is asked again, too.

        Args:
            prompts: the input: read as it is needed, in the thread that takes the results; it may be endless. While
                it is waited for, what arrives is neither kept nor handed out.
            prompt: makes the messages of an item; None: the items are messages, or `str`.
            concurrency: how many requests run at once.
            ordered: whether results come in the order of the input, or as they are there.
            window: how many prompts are taken and not handed out yet, at most; None: `2 * concurrency`.
            requests_per_minute: a steady rate, without bursts; None: as fast as it goes. An executor is given calls at
                this rate; if it has fewer workers than `concurrency`, calls wait there, and the rate is not kept.
            journal: the path of a file that keeps what becomes of each prompt, as a JSON object a line. With the same
                file, another run asks nothing again that was answered: the same messages, model and temperature, in
                any order; a prompt that is there twice has two answers. Failures are asked again. None: none is kept.
            executor: runs the calls, of which `concurrency` are given to it at a time: a pool of threads or processes,
                or one of an engine, as `dask.distributed.Client.get_executor()`. Processes get a copy of this client,
                with its secrets in clear, and keep it. It stays open. None: threads that end with the batch.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: of one attempt, `total` too, since waits between attempts depend on all prompts; instead of the
                client's; None switches all limits off, `...` keeps the client's.
            retry: instead of the client's; None keeps that.

        Returns:
            An iterator of a `Result` for each item; it knows its length where the input does.

        Raises:
            InvalidRequestError: an argument is not usable; the message names it. A prompt that is not usable is an
                error of its own item.
            ClientClosedError: the client was closed.

        Example:
            >>> from acytoo_sdk.testing import FakeServer
            >>> with FakeServer(lambda request: request["messages"][0]["content"].upper()) as server:
            ...     client = Client(server.url)
            ...     print([result.unwrap() for result in client.map(["one", "two"])])
            ['ONE', 'TWO']
        """
        from ._batch.asking import Asker
        from .batch import Map, Plan

        self._pool.check_open()
        call = self._options.for_call(model=model, temperature=temperature, timeout=timeout, retry=retry)
        plan = Plan(prompts, prompt, concurrency, ordered, window, requests_per_minute, journal, call)
        asker = Asker(self, model=call.model, temperature=call.temperature, timeout=call.timeout)
        return Map(plan, asker, executor)

    def close(self) -> None:
        """Closes all connections, also those of clients made by `with_options`. Any thread may call it, repeatedly.

        Running streams end in `StreamCancelledError`, whose `partial_text` is what they had handed out; later calls
        raise `ClientClosedError`.
        """
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

"""The upstream: a question to the OpenAI-compatible server, and its reply's text as it comes. aiohttp's client."""

from __future__ import annotations

import asyncio
import math
import ssl
from io import BytesIO

import aiohttp
import anyio

from .._network.transport import environment_proxies, trusting_context
from .._secrets import Mask, Secret
from .._version import __version__
from ..errors import InvalidRequestError
from .alarm import Alarm
from .completions import CompletionReader, completion_body
from .failures import Failure, upstream_failure
from .settings import Settings
from .wire import Question, header_table

_CONNECT_SECONDS = 10.0
# Many servers close a connection that was idle for five seconds, and a question sent at that moment would fail. Without
# TLS, none is kept: a new one costs nothing, and llama-cpp-python, after a failure, ends the body as if all were well,
# and the connection a moment later.
_KEEP_ALIVE_SECONDS = 4.0
# Behind the finish reason, figures and `[DONE]` follow at once. Where nothing follows for so long, the server forgot to
# end its reply, which is whole.
_AFTER_FINISH_SECONDS = 1.0
_AFTER_DONE_SECONDS = 0.1  # for the end of the body, without which its connection cannot serve again
_MODEL = "gpt-3.5-turbo"  # the wire's default
_ERROR_BODY_SECONDS = 5.0  # for all of it
_LOOK_SECONDS = 1.0  # between two looks at whether the connection is still there
_LINE_BYTES = 64 * 1024
_BUFFER_BYTES = 64 * 1024  # aiohttp reads twice as much ahead of a slow client; then the upstream has to wait


class Upstream:
    """The server behind, and the connections to it; to be made in the event loop.

    Args:
        settings: `upstream`, `model`, `model_map`, `upstream_key`, `first_byte_timeout` and `idle_timeout` count.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = f"{settings.upstream}/chat/completions"
        self._proxy = environment_proxies().address_for(self._url)
        if self._proxy.startswith("socks"):
            raise InvalidRequestError("the environment's proxy for the upstream speaks SOCKS, and this server cannot")
        if self._url.startswith("https"):
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS, ssl=trusting_context())
        else:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            read_bufsize=_BUFFER_BYTES,
        )

    async def ask(self, question: Question, *, key: Secret[str] | None) -> UpstreamReply:
        """Sends a question; returns its reply, once the head is there.

        Args:
            question: what to ask.
            key: the client's, in place of the server's own; None or "" for none.

        Raises:
            Failure: there is no head, or none of a reply.
        """
        settings = self._settings
        model = settings.model_map.get(question.model) or settings.model or question.model or _MODEL
        key = key or settings.upstream_key
        secrets = (key, settings.upstream_key, settings.password, question.key, *question.passwords)
        mask = Mask(secret.reveal() for secret in secrets)
        body = completion_body(question.messages, model=model, temperature=question.temperature)
        limit = settings.first_byte_timeout
        due = asyncio.get_running_loop().time() + limit
        try:
            with anyio.fail_after(limit):
                response = await self._session.post(
                    self._url,
                    data=BytesIO(body),  # of long bytes, aiohttp warns
                    headers=_headers(key),
                    proxy=self._proxy or None,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure_of(error, limit) from None
        reply = UpstreamReply(response, CompletionReader(mask), first_due=due, limit=limit, idle=settings.idle_timeout)
        try:
            reply.check_head()
        except Failure:
            response.close()
            raise
        return reply

    async def close(self) -> None:
        """Closes every connection."""
        await self._session.close()


class UpstreamReply:
    """A reply whose head is there.

    Args:
        response: aiohttp's.
        reader: what its bytes mean.
        first_due: when the first byte has to be there, or all of an error's body, on the loop's clock.
        limit: the seconds that led there, for messages.
        idle: seconds of the longest silence from then on.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, reader: CompletionReader, *, first_due: float, limit: float, idle: float
    ) -> None:
        self._response = response
        self._content = response.content
        self._reader = reader
        self._first_due: float | None = first_due
        if response.status >= 400:
            self._first_due = min(first_due, asyncio.get_running_loop().time() + _ERROR_BODY_SECONDS)
        self._last_due: float | None = None  # of what may follow a text that is finished
        self._limit = limit
        self._idle = idle
        self._due = math.inf
        self._alarm = Alarm(self._look)

    @property
    def failure(self) -> Failure | None:
        """Why the reply is not whole; None after the end of `receive`: it is."""
        return self._reader.failure

    def check_head(self) -> None:
        """Judges the reply by its head.

        Raises:
            Failure: there will be no text.
        """
        if self._response.status == 407:
            raise upstream_failure("the proxy before the upstream server asks for credentials", "upstream proxy")
        self._reader.receive_head(self._response.status, header_table(self._response.headers.items()))

    async def receive(self) -> str:
        """The next text, when there is some; "" once there is no more, and `failure` says what kind of end it was.

        The upstream's limits run only while this waits, not while the client takes its time.
        """
        reader, alarm, now = self._reader, self._alarm, asyncio.get_running_loop().time
        while not reader.over:
            try:
                self._due = self._first_due or self._last_due or now() + self._idle
                alarm.set(min(self._due, now() + _LOOK_SECONDS))
                data = await self._content.readany()
            except (aiohttp.ClientError, OSError) as error:
                text = reader.receive_data(self._take_rest(error))
                text += reader.receive_break(_failure_of(error, self._limit))
            else:
                text = reader.receive_data(data) if data else reader.receive_eof()
                if self._response.status < 400:
                    self._first_due, self._limit = None, self._idle
                if reader.finished and (text or self._last_due is None):
                    self._last_due = now() + min(_AFTER_FINISH_SECONDS, self._idle)
            finally:
                alarm.due = math.inf
            if text:
                return text
        return ""

    async def close(self) -> None:
        """Ends the reply: its connection is kept only if it was read to its end."""
        if self.failure is None and self._reader.over and not self._content.at_eof():
            with anyio.move_on_after(_AFTER_DONE_SECONDS):
                try:
                    await self._content.readany()
                except (aiohttp.ClientError, OSError):
                    pass
        self.abort()

    def abort(self) -> None:
        """Ends it at once."""
        self._alarm.cancel()
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()  # closing would wait for the other side, over TLS
        self._response.close()

    def _look(self) -> None:
        """Looks after a silence: whether it is over, and whether somebody is there who could end it."""
        connection, now = self._response.connection, asyncio.get_running_loop().time()
        if now >= self._due:
            self._content.set_exception(TimeoutError())
        elif connection is not None and (connection.protocol is None or not connection.protocol.is_connected()):
            # Of a body that is not framed as it should be, aiohttp tells nobody who waits for the rest.
            self._content.set_exception(aiohttp.ClientPayloadError())
        else:
            self._alarm.set(min(self._due, now + _LOOK_SECONDS))

    def _take_rest(self, error: Exception) -> bytes:
        """What had arrived before a break: aiohttp tells of the break first."""
        self._content.set_exception(None)  # type: ignore[arg-type] # it would raise the one that it has
        data = self._content.read_nowait()
        self._content.set_exception(error)
        return data


def _headers(key: Secret[str]) -> dict[str, str]:
    headers = {
        "accept": "text/event-stream",
        "accept-encoding": "identity",  # a compressing server may hold events back
        "content-type": "application/json",
        "user-agent": f"acytoo-sdk/{__version__}",
    }
    return headers | ({"authorization": f"Bearer {key.reveal()}"} if key else {})


def _failure_of(error: Exception, limit: float) -> Failure:
    """What an exception means, in the order of the table."""
    for kinds, message, how, status in _FAILURES:
        if isinstance(error, kinds):
            return upstream_failure(message.format(limit=limit), how, status=status)
    raise error


_FAILURES: tuple[tuple[tuple[type[Exception], ...], str, str, int], ...] = (
    (
        (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError),
        "the upstream server's certificate is not trusted",
        "upstream certificate",
        502,
    ),
    ((aiohttp.ClientSSLError, ssl.SSLError), "TLS with the upstream server failed", "upstream TLS", 502),
    ((aiohttp.ConnectionTimeoutError,), "no connection to the upstream server in time", "upstream connect", 504),
    (
        (TimeoutError, asyncio.TimeoutError),
        "the upstream server sent nothing for {limit:g} seconds",
        "upstream silent",
        504,
    ),
    (
        (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError),
        "no connection to the upstream server",
        "no upstream",
        502,
    ),
    ((aiohttp.ClientHttpProxyError,), "the proxy makes no connection to the upstream server", "upstream proxy", 502),
    ((aiohttp.ClientResponseError,), "the upstream server does not answer in HTTP", "upstream not HTTP", 502),
    ((aiohttp.ClientError, OSError), "the connection to the upstream server broke", "upstream broke", 502),
    ((ValueError,), "the upstream server cannot be asked this", "upstream request", 502),
)

"""The server: what becomes of a request, from its head to the end of its reply, and how all of it ends."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import anyio
from aiohttp import HttpVersion11, web

from .._version import __version__
from ..errors import InvalidRequestError
from .access import Access
from .alarm import Alarm
from .endings import STALL_SECONDS, break_off, reset
from .failures import Failure
from .listener import Listener
from .log import Log
from .offline import Offline, Rehearsal
from .settings import Settings
from .upstream import Upstream
from .wire import CHAT_PATHS, TEXT_HEADERS, Question, header_table, index_page, read_question

_BODY_SECONDS = 60.0  # for all of a question
_FLUSH_SECONDS = 1.0  # for the last bytes, when the server ends
_BACKLOG = 1024
_SPARE_CONNECTIONS = 1000  # idle ones, besides those whose question is about to come


@dataclass
class _Entry:
    """What the log tells of a request."""

    request_id: str = field(default_factory=lambda: uuid4().hex[:16])
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    model: str = ""
    characters: int = 0
    how: str = ""  # how it ended; "" until it did

    def __str__(self) -> str:
        model = "".join(char if char.isprintable() and char != " " else "?" for char in self.model[:64]) or "-"
        seconds = time.monotonic() - self.began
        return f"{self.request_id} {self.status or '-'} {model} {self.characters} characters {seconds:.2f} s {self.how}"


class Server:
    """Listens, and answers; to be made in the event loop.

    Args:
        settings: everything it is told.
        log: where a line for each request goes.

    Attributes:
        url: where it listens, once it does.

    Raises:
        InvalidRequestError: the certificate, the fault or the environment's proxy cannot be used.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self.url = ""
        self._settings = settings
        self._log = log
        self._tls = _tls_context(settings)
        self._access = Access(host=settings.host, password=settings.password, origins=settings.allow_origins)
        self._rehearsal = Rehearsal(settings) if settings.fault else None
        self._backend: Upstream | Offline = Upstream(settings) if settings.upstream else Offline(settings)
        most_idle = _most_idle(settings.max_streams + _SPARE_CONNECTIONS)
        self._listener = Listener(self._answer, refuse=self._refuse, most_idle=most_idle)
        self._runner = web.ServerRunner(self._listener, shutdown_timeout=_FLUSH_SECONDS)
        self._tasks: set[asyncio.Task[Any]] = set()  # of the replies on their way
        self._ending = False

    @property
    def connections(self) -> list[web.RequestHandler]:
        """The clients' connections that are open."""
        return self._listener.connections

    async def start(self) -> None:
        """Listens.

        Raises:
            OSError: the address cannot be listened on.
        """
        settings = self._settings
        await self._runner.setup()
        site = web.TCPSite(self._runner, settings.host, settings.port, ssl_context=self._tls, backlog=_BACKLOG)
        await site.start()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"{'https' if self._tls else 'http'}://{host}:{self._runner.addresses[0][1]}"

    async def close(self, *, at_once: asyncio.Event) -> None:
        """Accepts nobody any more, lets the replies end for the time of grace, and cuts those that do not.

        Args:
            at_once: ends the time of grace, when it is set.
        """
        self._ending = True
        for site in self._runner.sites:
            await site.stop()
        self._listener.close_when_idle()
        if self._tasks:
            waits = [asyncio.ensure_future(asyncio.wait(self._tasks)), asyncio.ensure_future(at_once.wait())]
            await asyncio.wait(waits, timeout=self._settings.grace, return_when=asyncio.FIRST_COMPLETED)
            for waiting in waits:
                waiting.cancel()
        for task in self._tasks:
            task.cancel()
        await self._listener.wait_closed(_FLUSH_SECONDS)
        await self._runner.cleanup()
        await self._backend.close()
        if self._rehearsal is not None:
            await self._rehearsal.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers a request, and writes its line in the log."""
        entry = _Entry()
        headers = header_table(request.headers.items())
        cors = self._access.cors_headers(headers)
        try:
            self._access.check_source(headers)
            return await self._dispatch(request, headers, cors, entry)
        except Failure as failure:
            return self._refusal(failure, entry, cors)
        except (asyncio.CancelledError, ConnectionError):
            if not entry.how:
                entry.how = "cut at the end of the server" if self._ending else "client left"
                await _break_off(request)
            raise
        except Exception as error:  # a bug of ours: whoever asks is told, and nobody is shown more than its name
            entry.how = f"internal error: {type(error).__name__}"
            if request.writer.output_size:
                await _break_off(request)
                raise ConnectionError(entry.how) from None
            return self._refusal(Failure(500, "the server has a fault", entry.how, type="server_error"), entry, cors)
        finally:
            self._log.write(str(entry))

    async def _dispatch(
        self, request: web.BaseRequest, headers: Mapping[str, str], cors: dict[str, str], entry: _Entry
    ) -> web.StreamResponse:
        path, asks = request.path, request.path in CHAT_PATHS
        allowed = ("POST", "OPTIONS") if asks else ("GET", "HEAD", "OPTIONS")
        if not asks and path not in ("/", "/healthz"):
            raise Failure(404, f"there is nothing at this path; questions are posted to {CHAT_PATHS[0]}", "not found")
        if request.method not in allowed:
            allow = {"allow": ", ".join(allowed)}
            raise Failure(405, f"{request.method} is not allowed here", "method not allowed", headers=allow)
        if request.method == "OPTIONS":
            entry.status, entry.how = 204, "options"
            preflight = self._access.preflight_headers(headers)
            return web.Response(status=204, headers=self._head(entry, cors, {"allow": ", ".join(allowed)}, preflight))
        if asks:
            return await self._reply(request, headers, cors, entry)
        entry.status, entry.how = 200, "page"
        text = index_page(self.url) if path == "/" else "ok\n"
        return web.Response(text=text, headers=self._head(entry, cors, TEXT_HEADERS))

    async def _reply(
        self, request: web.BaseRequest, headers: Mapping[str, str], cors: dict[str, str], entry: _Entry
    ) -> web.StreamResponse:
        body = await self._read_body(request, headers)
        question = read_question(body, authorization=headers.get("authorization", ""))
        self._access.check_password(question)
        entry.model = question.model
        if self._ending or len(self._tasks) >= self._settings.max_streams:
            why = "is about to end" if self._ending else "has as many replies on their way as it may"
            raise Failure(503, f"the server {why}", "refused", type="server_error", headers={"retry-after": "1"})
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with self._listener.busy(request.protocol):
                if self._rehearsal is not None:
                    return await self._rehearse(self._rehearsal, request, question, cors, entry)
                return await self._stream(request, question, cors, entry)
        finally:
            self._tasks.discard(task)

    async def _read_body(self, request: web.BaseRequest, headers: Mapping[str, str]) -> bytes:
        most = self._settings.max_body
        too_large = Failure(413, f"the question is longer than {most} bytes", "too large")
        if (request.content_length or 0) > most:
            raise too_large
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Failure(415, "the question is compressed: send it as it is", "compressed")
        if headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            with anyio.fail_after(_BODY_SECONDS):
                while data := await request.content.readany():
                    body += data
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise Failure(408, "the question did not come in time", "slow") from None
        except web.RequestPayloadError:
            raise Failure(400, "the body is not framed as HTTP frames it", "not HTTP") from None
        return bytes(body)

    async def _stream(
        self, request: web.BaseRequest, question: Question, cors: dict[str, str], entry: _Entry
    ) -> web.StreamResponse:
        """Passes a reply on, piece by piece, and ends as it ends."""
        key = self._access.key_for_upstream(question) if self._settings.pass_client_key else None
        reply = await self._backend.ask(question, key=key)
        stall, now = Alarm(lambda: reset(request.transport)), asyncio.get_running_loop().time
        response: web.StreamResponse | None = None
        try:
            while text := await reply.receive():
                if response is None:
                    entry.status = 200
                    response = web.StreamResponse(headers=self._head(entry, cors, TEXT_HEADERS))
                    await response.prepare(request)
                stall.set(now() + STALL_SECONDS)
                await response.write(text.encode())
                stall.due = math.inf
                entry.characters += len(text)
            if reply.failure is not None:
                if response is None:
                    raise reply.failure
                entry.how = f"broken: {reply.failure.how}"
                reply.abort()
                await _break_off(request)
            elif response is None:
                raise Failure(502, "the reply is empty", "no text", type="upstream_error")
            else:
                await response.write_eof()
                entry.how = "complete"
            await reply.close()
            return response
        finally:
            stall.cancel()
            reply.abort()

    async def _rehearse(
        self,
        rehearsal: Rehearsal,
        request: web.BaseRequest,
        question: Question,
        cors: dict[str, str],
        entry: _Entry,
    ) -> web.StreamResponse:
        """Sends what a faulty server would, byte by byte, and ends the connection as it does."""
        entry.how = f"rehearsed: {self._settings.fault}"
        entry.status = 200
        transport = request.transport
        try:
            async for data in rehearsal.answer(question, cors):
                if transport is not None:
                    transport.write(data)
        except ConnectionResetError:
            reset(transport)
        if transport is not None:
            transport.close()
        return web.Response()  # aiohttp wants one; on a closed connection, nothing of it is sent

    def _refusal(self, failure: Failure, entry: _Entry, cors: Mapping[str, str]) -> web.Response:
        """The answer that tells a failure."""
        entry.status, entry.how = failure.status, failure.how
        said = {"content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff"}
        return web.Response(
            status=failure.status, body=failure.body, headers=self._head(entry, cors, said, failure.headers)
        )

    def _refuse(self, failure: Failure) -> web.Response:
        """Answers what is no request, and writes its line in the log."""
        entry = _Entry()
        response = self._refusal(failure, entry, {})
        self._log.write(str(entry))
        return response

    def _head(self, entry: _Entry, *parts: Mapping[str, str]) -> dict[str, str]:
        head = {"server": f"acytoo-sdk/{__version__}", "x-request-id": entry.request_id}
        for part in parts:
            head |= part
        return head


async def _break_off(request: web.BaseRequest) -> None:
    """Ends a reply as one that is not whole; before HTTP/1.1, it has no framing to tell."""
    await break_off(request.transport, framed=request.version >= HttpVersion11)


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise InvalidRequestError(f"tls_cert and tls_key cannot be used: {error.strerror or error}") from error
    return context


def _most_idle(wished: int) -> int:
    """How many connections may be idle: as many as are wished, but at most a third of the files that may be open."""
    try:
        import resource
    except ImportError:
        return wished
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wished if soft == resource.RLIM_INFINITY else min(wished, soft // 3)

"""Diagnoses: what the arrival of pieces says of a stream, and what to do about each failure. No I/O: two tables."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from ..._hosts import is_loopback
from ..._network.provenance import chain
from ...errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DecodeError,
    EmptyReplyError,
    InvalidRequestError,
    RateLimitError,
    RedirectError,
    ReplyTooLargeError,
    ServerError,
    StreamInterruptedError,
    UnexpectedReplyError,
)
from ...protocol import DEFAULT_BASE_URL
from .cases import Case

Arrival = Literal["streams", "fast", "buffered", "whole"]

_FAST = 0.05  # seconds; what is over sooner was no trouble to anybody
_END = 1 / 20  # of the time of a reply
_NEARLY_ALL = 9 / 10  # of its pieces

BUFFERED = (
    "something between buffers, or the server does: with nginx, `proxy_buffering off`, or the header "
    "`X-Accel-Buffering: no` from the server; switch off compression and caches for this endpoint"
)
WHOLE = (
    "the server makes the whole reply before it sends it, or something between buffers: have it send pieces as they "
    "come; with nginx, `proxy_buffering off`, or the header `X-Accel-Buffering: no` from the server"
)


def judge_arrival(arrivals: Sequence[float]) -> Arrival:
    """Whether a reply streams, by when its pieces arrived, in seconds after the question.

        pieces                                        judgement
        one                                           whole: it does not stream, or was too short to tell
        several, over within 50 ms                    fast: too fast to tell, and nobody had to wait
        nine of ten in the last twentieth of the time buffered: a long silence, then all at once
        any others                                    streams

    Example:
        >>> [judge_arrival(times) for times in ([2.0], [0.01, 0.02], [1.98, 1.99, 2.0], [0.5, 1.0, 2.0])]
        ['whole', 'fast', 'buffered', 'streams']
    """
    if len(arrivals) < 2:
        return "whole"
    end = arrivals[-1]
    if end <= _FAST:
        return "fast"
    last = [arrival for arrival in arrivals if arrival >= end * (1 - _END)]
    return "buffered" if len(last) >= _NEARLY_ALL * len(arrivals) else "streams"


def mend_of(case: Case) -> str:
    """What to do about a failure, in one sentence."""
    row = next(row for row in _ROWS if row.applies(case))
    return row.mend.format(case)


class _Row(NamedTuple):
    """When a row applies, and what it says; `{0.x}` stands for what the case knows."""

    applies: Callable[[Case], object]
    mend: str


_Test = Callable[[Case], object]


# What is found


def _both(*tests: _Test) -> _Test:
    return lambda case: all(test(case) for test in tests)


def _in(*steps: str) -> _Test:
    return lambda case: case.step in steps


def _is(*kinds: type[BaseException]) -> _Test:
    return lambda case: isinstance(case.error, kinds)


def _by(*kinds: type[BaseException]) -> _Test:
    return lambda case: case.cause(*kinds) is not None


def _says(pattern: str) -> _Test:
    return lambda case: re.search(pattern, str(case.error))


def _status(*codes: int) -> _Test:
    return lambda case: isinstance(case.error, APIStatusError) and case.error.status_code in codes


def _limit(*phases: str) -> _Test:
    return lambda case: isinstance(case.error, APITimeoutError) and case.error.phase in phases


def _errno(*codes: int) -> _Test:
    return lambda case: any(getattr(each, "errno", None) in codes for each in chain(case.error))


def _verified(*codes: int) -> _Test:
    """A certificate was refused, for one of these reasons of OpenSSL's; none: for any."""

    def applies(case: Case) -> bool:
        cause = case.cause(ssl.SSLCertVerificationError)
        return cause is not None and (not codes or cause.verify_code in codes)

    return applies


def _tls(pattern: str) -> _Test:
    """OpenSSL's reason for what is wrong with TLS."""

    def applies(case: Case) -> object:
        cause = case.cause(ssl.SSLError)
        return cause is not None and re.search(pattern, str(cause).replace("_", " "), re.IGNORECASE)

    return applies


def _body(pattern: str) -> _Test:
    return lambda case: re.search(pattern, getattr(case.error, "body", ""), re.IGNORECASE)


def _header(name: str, pattern: str = "") -> _Test:
    return lambda case: (value := case.header(name)) and re.match(pattern, value, re.IGNORECASE)


def _proxied(case: Case) -> bool:
    return bool(case.proxy)


def _at_home(case: Case) -> bool:
    return is_loopback(case.host)


def _at_default_host(case: Case) -> bool:
    return case.base_url.startswith(DEFAULT_BASE_URL)


def _has_wait(case: Case) -> bool:
    return bool(getattr(case.error, "retry_after", None))


def _has_certified_name(case: Case) -> bool:
    return any("*" not in name for name in case.names)


def _base_holds_path(case: Case) -> bool:
    return case.base_without_path != case.base_url


def _hint(case: Case) -> bool:
    return bool(case.hint)


def _speaks_tls(case: Case) -> bool:
    return case.speaks_tls


def _challenge(case: Case) -> bool:
    """Source: Cloudflare's header of challenges, and the title of its pages."""
    page = getattr(case.error, "body", "")
    return bool(case.header("cf-mitigated")) or "<title>Just a moment" in page


_CONNECTING = _in("name", "connection")
_PAGE = _body(r"^\s*(<!doctype html|<html|<head|<body)")
_NOT_TLS = "wrong version number|http request|packet length too long|unexpected message|record layer failure"
_unexpected = _is(UnexpectedReplyError)
_error_reply = _is(UnexpectedReplyError, APIStatusError)

_GONE = "this public host no longer answers: name a server of yours, --base-url URL; `acytoo serve` starts one"
_KEY = "set the key: `acytoo config set key`, or the variable ACYTOO_KEY; for a password, ACYTOO_PASSWORD"
_FRONT = "put `acytoo serve --upstream {0.upstream}` in front of it"
_PROXY_SOURCE = "see --proxy, the settings, and HTTPS_PROXY and its like"
_OWN_CERTIFICATE = "it wants a certificate of yours, which this command has none of: in a program, Client(cert=...)"
_CHALLENGED = "this site asks browsers to prove themselves, which no program can: name the address of its API"
_COMPRESSED = "have the server, or what stands in front of it, not compress this endpoint"
_CUT = "see the server's log; and does something between end replies early: a read timeout of a proxy, for one?"

# The first row that applies; so a row may take for granted that those above it do not.
_ROWS = (
    # Settings
    _Row(
        _both(_is(InvalidRequestError), _says("^no server")),
        "where there is none yet, `acytoo serve` starts one",
    ),
    _Row(
        _both(_is(InvalidRequestError), _says("names no (file or folder|bundle)")),
        "--ca takes a file of certificates in PEM",
    ),
    _Row(_both(_is(InvalidRequestError), _hint), "{0.hint}"),
    _Row(_is(InvalidRequestError), "mend what it names: an option of this command, a variable, or `acytoo config set`"),
    # The way there
    _Row(_both(_CONNECTING, _proxied, _by(socket.gaierror)), f"check the proxy's name: {_PROXY_SOURCE}"),
    _Row(_both(_CONNECTING, _proxied), f"is the proxy {{0.proxy}} running, and the right one? {_PROXY_SOURCE}"),
    _Row(_both(_CONNECTING, _at_default_host), _GONE),
    _Row(_both(_in("name"), _errno(socket.EAI_AGAIN)), "no name server answers: is this machine online?"),
    _Row(_both(_in("name"), _by(TimeoutError)), "no name server answers: is this machine online, is a VPN wanted?"),
    _Row(_in("name"), "check the name for a slip: --base-url, or where it was taken from"),
    _Row(
        _both(_in("connection"), _by(ConnectionRefusedError), _at_home),
        "nothing listens on {0.peer}: start a server with `{0.serve}`",
    ),
    _Row(
        _both(_in("connection"), _by(ConnectionRefusedError)),
        "nothing listens on {0.peer}: is the server running, is the port right?",
    ),
    _Row(
        _both(_in("connection"), _by(TimeoutError)),
        "something on the way drops what is sent to {0.peer}: a firewall, or nobody has this address; if only a proxy "
        "leads there: --proxy URL",
    ),
    _Row(_in("connection"), "there is no way to {0.peer} from here: is this machine online, is a VPN wanted?"),
    # TLS
    _Row(_verified(10), "renew the certificate on the server; or set this machine's clock, if it is wrong"),
    _Row(_verified(9), "set the clock of this machine, or of the one that made the certificate"),
    _Row(_both(_verified(62, 64), _has_certified_name), "ask by a name that the certificate has: {0.certified}"),
    _Row(_verified(62, 64), "have the server show a certificate for {0.host}"),
    _Row(_verified(), "if you trust who made it, name its authority: --ca FILE, with certificates in PEM"),
    _Row(_tls("certificate required|unknown ca|bad certificate|handshake failure"), _OWN_CERTIFICATE),
    _Row(_both(_tls(_NOT_TLS), _proxied), "is it https that is spoken at {0.peer}, and by the proxy {0.proxy}?"),
    _Row(_tls(_NOT_TLS), "{0.peer} speaks plain http: --base-url {0.other_scheme}"),
    _Row(_in("TLS"), "does {0.peer} speak https? If not: --base-url {0.other_scheme}"),
    _Row(_speaks_tls, "{0.peer} speaks https: --base-url {0.other_scheme}"),
    _Row(_both(_status(400), _body("plain http request|https (port|server)")), "ask it by https: {0.other_scheme}"),
    # Proxies
    _Row(
        _says(r"asks for credentials \(HTTP 407\)"),
        "put them into the proxy's address: http://USER:PASSWORD@HOST:PORT, in HTTPS_PROXY rather than --proxy, which "
        "others may see",
    ),
    _Row(
        _says("^The proxy .* (refused a|made no) connection"),
        "have the proxy let {0.peer} through; if none is needed to get there: NO_PROXY={0.host}",
    ),
    # Limits
    _Row(_both(_limit("connect"), _proxied), "does the proxy {0.proxy} reach {0.peer}?"),
    _Row(_limit("connect"), "it took longer than the limit on connecting: try again, or mend the way to {0.peer}"),
    _Row(_limit("first_byte"), "it takes the question and then is silent: see its log; is its model being loaded?"),
    _Row(_limit("idle"), "it began and then fell silent: see its log, and what stands between"),
    _Row(_limit("total"), "give it more time: --timeout SECONDS; or see its log for what it waits for"),
    # Statuses
    _Row(_both(_error_reply, _challenge), _CHALLENGED),
    _Row(_status(401), _KEY),
    _Row(_both(_status(403), _proxied), f"{_KEY}; or it is the proxy {{0.proxy}} that refuses"),
    _Row(_status(403), _KEY),
    _Row(_both(_status(404), _base_holds_path), "the address holds the path already: --base-url {0.base_without_path}"),
    _Row(
        _status(404),
        "nothing is served at {0.path}: name the path with --path; usual are /api/completions, /api/chat, /api/ai, "
        "/api; an OpenAI-compatible server has none of these: " + _FRONT,
    ),
    _Row(
        _status(405),
        "{0.path} takes no POST, as a web site's pages do: name another with --path, for instance /api/chat",
    ),
    _Row(_status(408, 425), "try again: the server was not ready for the question"),
    _Row(_status(413), "this server takes hardly any text: raise its limit on requests"),
    _Row(_status(400, 415, 422), "it wants another body: --payload ai-sdk or prompt; or -m, another model"),
    _Row(_both(_is(RateLimitError), _has_wait), "wait {0.wait}, then ask again"),
    _Row(_is(RateLimitError), "wait a while, then ask again; is the key's quota used up?"),
    _Row(_both(_is(RedirectError), _header("location", "https?://")), "if you trust it: --base-url {0.location}"),
    _Row(
        _both(_is(RedirectError), _header("location")),
        "it leads to {0.location}, maybe a page to log in: name the endpoint with --path",
    ),
    _Row(_both(_status(502, 503, 504), _proxied), "see whether {0.peer} runs, and whether {0.proxy} reaches it"),
    _Row(
        _status(502, 503, 504),
        "what stands in front has no server behind it, or an overloaded one: see whether it runs",
    ),
    _Row(_status(*range(520, 531)), "what stands in front does not reach the server behind it: see whether it runs"),
    _Row(_is(ServerError), "the server failed: see its log"),
    _Row(_is(APIStatusError), "see what the server's documentation says of this status"),
    # Replies
    _Row(_is(DecodeError), "the server must send UTF-8, whatever its content-type says: have it encode so"),
    _Row(_is(EmptyReplyError), "does it know the model {0.model}? Another: -m NAME; else see its log"),
    _Row(_is(ReplyTooLargeError), "does it ever end? See its log"),
    _Row(_both(_unexpected, _header("content-encoding", "(?!identity)")), _COMPRESSED),
    _Row(_both(_unexpected, _header("content-type", "text/event-stream")), "this is an event stream: " + _FRONT),
    _Row(_both(_unexpected, _PAGE), "is {0.base_url} a web site? Name the endpoint: --base-url, --path"),
    _Row(_both(_unexpected, _body("model")), "is the model {0.model} known there? Another: -m NAME"),
    _Row(_both(_unexpected, _header("content-type", "application/json")), "see the server's log, and its settings"),
    _Row(_unexpected, "have the server, or what stands in front of it, send plain text in chunks"),
    _Row(_is(StreamInterruptedError), _CUT),
    _Row(_says("does not speak HTTP"), "is it another service that listens on {0.peer}? Check the port"),
    _Row(_is(APIConnectionError), "it took the question and hung up: see its log"),
    _Row(lambda case: True, "see the server's log"),
)

"""The examination of a server, step by step: each step says what it saw, and the first that fails how to mend it.

The steps before the first question are taken here, with the `probes`; from then on, an ordinary client asks, and its
errors are told. What is to be done about a failure stands in `diagnoses`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..._client import Client
from ..._network import exchange as exchange  # this and `retry`, which the first question loads, are not to be timed
from ..._network.transport import proxies_of, tls_context
from ..._secrets import Mask, Secret
from ..._streams import retry as retry
from ..._streams.stream import Stream
from ...errors import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DecodeError,
    EmptyReplyError,
    ReplyTooLargeError,
    UnexpectedReplyError,
)
from ..statuses import CONNECTION, OK, SERVICE, sentence_of, status_of
from .cases import Case, host_and_port, peer_of
from .diagnoses import BUFFERED, WHOLE, judge_arrival, mend_of
from .probes import (
    Address,
    Certificate,
    ProbeError,
    connect,
    duration,
    handshake,
    is_address,
    resolve,
    shown_certificate,
    speaks_tls,
)

_QUESTION = "Count from 1 to 40 in words, one per line."
_LONGER_QUESTION = "Count from 1 to 120 in words, one per line."
_LIMIT = 30.0  # seconds; for a step of the way there where the settings have none
_FEW_DAYS = 14
_DAY = 86400.0
_MOST_NAMES = 5

# What is wrong with the reply's text, though its head was as it should be.
_OF_TEXT = (EmptyReplyError, DecodeError, ReplyTooLargeError)


@dataclass(frozen=True)
class Step:
    """What became of a step.

    Attributes:
        name: of the step.
        ok: whether it went well; None: there was nothing to do.
        saw: what was seen.
        seconds: how long it took; None where nothing was done.
        mend: what to do about it; of a step that went well, what is worth doing; None for nothing.
    """

    name: str
    ok: bool | None
    saw: str
    seconds: float | None = None
    mend: str | None = None


@dataclass(frozen=True)
class _Seen:
    """What a step that raised nothing has found, as in `Step`."""

    saw: str
    ok: bool | None = True
    mend: str | None = None


@dataclass
class _Asked:
    """One question, and what came of it.

    Attributes:
        stream: brings the reply.
        began: when it was asked, on the monotonic clock.
        arrivals: when its pieces came, in seconds after the question; without those of blanks alone.
        error: how it ended; None: well.
    """

    stream: Stream
    began: float
    arrivals: list[float] = field(default_factory=list)
    error: AcytooError | None = None

    def read(self, most: int | None = None) -> None:
        """Reads on: so many pieces, or all. An error is kept."""
        try:
            while most is None or len(self.arrivals) < most:
                if next(self.stream).strip() or not self.arrivals:  # blanks may have been held back, for a notice
                    self.arrivals.append(time.monotonic() - self.began)
        except StopIteration:
            pass
        except AcytooError as error:
            self.error = error


class Examination:
    """Looks at the server of a client. Used once.

    Args:
        client: asks the questions; its options say what is in force.

    Attributes:
        status: of the command, so far.
        questions: how many were asked.
    """

    def __init__(self, client: Client) -> None:
        self.status = OK
        self.questions = 0
        self._client = client
        self._options = client.options
        self._url = self._options.base_url
        self._parts = urlsplit(self._url)
        self._proxies = proxies_of(self._options.proxy)
        self._mask = Mask(self._options.secrets)
        self._proxy = Secret("")
        self._addresses: list[Address] = []
        self._certificate: Certificate | None = None
        self._asked: _Asked | None = None
        limits = [limit for limit in (self._options.timeout.connect, self._options.timeout.total) if limit is not None]
        self._limit = min(limits, default=_LIMIT)

    def steps(self, begin: Callable[[str], None] = lambda name: None) -> Iterator[Step]:
        """Every step up to the first that fails, when it is done.

        Args:
            begin: called with the name of each before it begins.
        """
        steps: dict[str, Callable[[], _Seen]] = {
            "proxy": self._find_proxy,
            "name": self._look_up,
            "connection": self._connect,
            "TLS": self._speak_tls,
            "reply": self._ask,
            "text": self._read,
            "end": self._judge_end,
            "streaming": self._judge_arrival,
        }
        for name, take in steps.items():
            begin(name)
            began = time.monotonic()
            failed: AcytooError | ProbeError | None = None
            seen = _Seen("")
            try:
                seen = take()
            except (AcytooError, ProbeError) as error:
                failed = error
            seconds = round(time.monotonic() - began, 6)
            if failed is not None:  # out here: to be looked at, it must not be handled any more
                self.status = status_of(failed) if isinstance(failed, AcytooError) else CONNECTION
                yield Step(name, False, self._told(failed), seconds, mend_of(self._case(failed, name)))
                return
            if seen.ok is False:
                self.status = SERVICE
            yield Step(name, seen.ok, seen.saw, None if seen.ok is None else seconds, seen.mend)

    # The way there

    def _find_proxy(self) -> _Seen:
        self._proxy = Secret(self._proxies.address_for(self._url))
        if not self._proxy:
            return _Seen("none", ok=None)
        return _Seen(f"{urlsplit(self._proxy.reveal()).scheme}://{self._proxy_peer}")

    def _look_up(self) -> _Seen:
        host, port = self._next_hop
        self._addresses = resolve(host, port, limit=self._limit)
        of_proxy = f"; that of {self._parts.hostname} is the proxy's business" if self._proxy else ""
        if is_address(host):
            return _Seen(f"{host} is an address{of_proxy}")
        found = [str(address.place[0]) for address in self._addresses]
        return _Seen(f"{host} is {_listed(found)}{of_proxy}")

    def _connect(self) -> _Seen:
        attempts = connect(self._addresses, limit=self._limit)
        self._addresses = [attempts[-1].address]
        return _Seen("; ".join(map(str, attempts)) + (", the proxy" if self._proxy else ""))

    def _speak_tls(self) -> _Seen:
        if self._parts.scheme == "http":
            return _Seen("http has none", ok=None)
        if self._proxy:
            return _Seen("through the proxy: by the question", ok=None)
        context = tls_context(self._options.verify, self._options.cert)
        try:
            version, certificate = handshake(self._addresses[0], self._host, context, limit=self._limit)
        except ProbeError:
            self._certificate = shown_certificate(self._addresses[0], self._host, limit=self._limit)
            raise
        if certificate is None:
            return _Seen(f"{version}, the certificate is not checked")
        days = (certificate.ends - time.time()) / _DAY
        saw = f"{version}, certificate of {certificate.subject}, by {certificate.issuer}, {days:.0f} days left"
        soon = "renew it before it ends" if days < _FEW_DAYS else None
        return _Seen(self._mask.quote(saw), mend=soon)

    # The reply

    def _ask(self) -> _Seen:
        self._asked = self._question(_QUESTION)
        self._asked.read(1)
        if self._asked.error is not None and not isinstance(self._asked.error, _OF_TEXT):
            raise self._asked.error
        kind = self._content_type
        odd = "json" in kind.lower() and "the text is called JSON: if replies are no bare text, see --path"
        status = head.status if (head := self._asked.stream.head) else 200
        return _Seen(f"HTTP {status}, {kind}", mend=odd or None)

    def _read(self) -> _Seen:
        asked = self._reply
        asked.read()
        if isinstance(asked.error, _OF_TEXT):
            raise asked.error
        count = asked.stream.stats.characters
        notice = "; a notice after it was taken off" if asked.stream.notice else ""
        return _Seen(f"UTF-8, {count} character{'' if count == 1 else 's'}{notice}")

    def _judge_end(self) -> _Seen:
        if self._reply.error is not None:
            raise self._reply.error
        if self._reply.stream.whole:
            return _Seen("the framing proves that the reply is whole")
        return _Seen(
            "nothing tells whether the reply is whole",
            mend="it ends with its connection, so a cut one looks the same: have the server send it in chunks",
        )

    def _judge_arrival(self) -> _Seen:
        asked = self._reply
        arrival = judge_arrival(asked.arrivals)
        if arrival in ("whole", "buffered"):  # too short to tell, or a model that had to be loaded first
            asked = self._asked = self._question(_LONGER_QUESTION)
            asked.read()
            if asked.error is not None:
                raise asked.error
            arrival = judge_arrival(asked.arrivals)
        first, last = asked.arrivals[0], asked.arrivals[-1]
        if arrival == "whole":
            return _Seen(f"none: twice the reply came as one piece, now after {duration(first)}", ok=False, mend=WHOLE)
        saw = f"first piece after {duration(first)}, then {len(asked.arrivals) - 1} over {duration(last - first)}"
        if arrival == "buffered":
            return _Seen(f"none: {saw}, at the end", ok=False, mend=BUFFERED)
        return _Seen(f"{saw}: too fast to tell more" if arrival == "fast" else saw)

    # What the steps share

    @property
    def _reply(self) -> _Asked:
        assert self._asked is not None, "the question comes first"
        return self._asked

    @property
    def _host(self) -> str:
        return self._parts.hostname or ""

    @property
    def _proxy_peer(self) -> str:
        """Host and port of the proxy."""
        return peer_of(self._proxy.reveal()) if self._proxy else ""

    @property
    def _next_hop(self) -> tuple[str, int]:
        """Where the first connection goes: the proxy, or the server."""
        return host_and_port(self._proxy.reveal() if self._proxy else self._url)

    def _question(self, text: str) -> _Asked:
        self.questions += 1
        stream = self._client.stream(text, retry=1)
        return _Asked(stream, time.monotonic())

    def _told(self, error: AcytooError | ProbeError) -> str:
        """What was seen of a failure: which limit ran out, what a certificate says, what kind of reply it is."""
        said = self._mask.quote(sentence_of(error) if isinstance(error, AcytooError) else str(error))
        if isinstance(error, APITimeoutError) and (seconds := getattr(self._options.timeout, error.phase)):
            return f"{said} ({seconds:g} s)"
        if isinstance(error, APIStatusError | UnexpectedReplyError):
            return f"{said}; {self._content_type}"
        if (certificate := self._certificate) is None:
            return said
        names = _listed(list(certificate.names)) or "no host"
        times = f"it holds from {_day(certificate.begins)} to {_day(certificate.ends)}"
        return f"{said.rstrip('.')}; " + self._mask.quote(f"{times}, for {names}, made by {certificate.issuer}")

    @property
    def _content_type(self) -> str:
        """Of the reply to the last question."""
        head = self._asked.stream.head if self._asked else None
        return self._mask.quote(head.headers.get("content-type") or "no content-type") if head else "no head"

    def _case(self, error: BaseException, step: str) -> Case:
        plain = self._parts.scheme == "http" and not self._proxy and self._addresses
        lost = step == "reply" and isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError)
        head = self._asked.stream.head if self._asked else None
        return Case(
            error,
            step,
            base_url=self._url,
            path=self._options.path.partition("?")[0],
            proxy=self._proxy_peer,
            headers=tuple(head.headers.items()) if head else (),
            names=self._certificate.names if self._certificate else (),
            model=self._options.model,
            speaks_tls=bool(plain and lost and speaks_tls(self._addresses[0], self._host, limit=self._limit)),
        )


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def _listed(words: list[str]) -> str:
    more = len(words) - _MOST_NAMES
    return ", ".join(words[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")

"""Bodies in every framing: whole, cut at every kind of place, with a framing that is none, and endless."""

from __future__ import annotations

from collections.abc import Iterator

from fault_server import bye, drip, fin, flood, pause, rst, stall

from acytoo_sdk import DecodeError, ReplyTooLargeError

from .case import (
    BOTH,
    CHUNKED,
    CLOSED,
    END,
    OK,
    PLAIN,
    TLS,
    Case,
    broken,
    chunk,
    chunked,
    head,
    lost,
    refused,
    sized,
    well,
)

_ENDED = "the connection ended before the reply did"


def bodies() -> Iterator[Case]:
    yield from _whole()
    yield from _cut()
    yield from _unknown_framings()
    yield from _wrong_chunks()
    yield from _endless()


def _whole() -> Iterator[Case]:
    text = "Привет, как дела?"
    raw_text = text.encode()
    yield well("chunked", chunked(*text), text=text)
    yield well("one chunk, dribbled", CHUNKED + b"1e\r\n", drip(raw_text, 0.001), b"\r\n" + END, text=text)
    yield well("Content-Length", sized(text), text=text)
    yield well("Content-Length, dribbled", head("content-length: 30"), drip(raw_text, 0.001), text=text)
    yield well("close", CLOSED + raw_text, fin, text=text, whole=None)
    yield well("close, dribbled", CLOSED, drip(raw_text, 0.001), fin, text=text, whole=None)
    yield well("close with close_notify", CLOSED + raw_text, bye, text=text, over=TLS)
    yield well("close with close_notify, without TLS", CLOSED + raw_text, bye, text=text, whole=None, over=PLAIN)
    yield well("close without saying so", head() + raw_text, fin, text=text, whole=None)
    yield well("HTTP/1.0", head(version="1.0") + raw_text, fin, text=text, whole=None)
    yield well("HTTP/1.0 with a length", head("content-length: 30", version="1.0") + raw_text, fin, text=text)
    yield well(
        "chunked, then close", head("transfer-encoding: chunked", "connection: close") + chunk("fine") + END, fin
    )
    yield well("chunk extensions", CHUNKED + b'4;a=b;c="d"\r\nfine\r\n0;x\r\n\r\n')
    yield well("sizes in capitals with zeros", CHUNKED + b"000A\r\n0123456789\r\n000\r\n\r\n", text="0123456789")
    yield well("trailers", CHUNKED + chunk("fine") + b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n")
    yield well("trailers byte by byte", CHUNKED + chunk("fine"), drip(b"0\r\nx-sum: 1\r\n\r\n", 0.001))
    yield well("chunks byte by byte", CHUNKED, drip(chunk("fi") + chunk("ne") + END, 0.001))
    yield well("FIN after the last chunk's line", CHUNKED + chunk("fine") + b"0\r\n", fin)
    yield well("FIN inside the trailers", CHUNKED + chunk("fine") + b"0\r\nx-su", fin)
    yield well("a long body", sized(text * 20_000), text=text * 20_000)
    yield well("many small chunks", chunked(*"x" * 5000), text="x" * 5000)
    yield well("201", sized("fine", status="201 Created"))
    yield well("206", sized("fine", status="206 Partial Content"))
    yield well("Content-Length too short", head("content-length: 4") + b"fine, and then some")
    yield well("the same Content-Length twice", head("content-length: 4", "content-length: 4") + b"fine")
    yield well("the same Content-Length in one line", head("content-length: 4, 4") + b"fine")
    yield well(
        "Content-Length together with chunked",
        head("content-length: 2", "transfer-encoding: chunked") + chunk("fine") + END,
    )
    yield well("parts that are none", chunked("fine", kind="multipart/mixed"))
    yield well("parts without a beginning", chunked("fine", kind="multipart/mixed; boundary=x"))
    yield well("a message inside", chunked("fine", kind="message/rfc822"))
    yield well("surplus after the last chunk", OK + b"and more")
    yield well("an unasked second reply", OK + sized("POISON"))
    yield well("Connection: upgrade", chunked("fine", fields=["connection: upgrade, keep-alive"]))


def _cut() -> Iterator[Case]:
    for name, end in (("FIN", fin), ("RST", rst)):
        yield lost(f"{name} after the head, chunked", CHUNKED, end)
        yield lost(f"{name} in the first size line", CHUNKED + b"1", end)
        yield lost(f"{name} after the first size line", CHUNKED + b"4\r\n", end)
        yield lost(f"{name} after the head, length", head("content-length: 4"), end, says=_ENDED if end is fin else "")
        yield broken(f"{name} inside a chunk", CHUNKED + b"9\r\nfin", end, text="fin")
        yield broken(f"{name} before the chunk's CRLF", CHUNKED + b"4\r\nfine", end, text="fine")
        yield broken(f"{name} inside the chunk's CRLF", CHUNKED + b"4\r\nfine\r", end, text="fine")
        said = _ENDED if end is fin else "broke the connection"
        yield broken(f"{name} between chunks", CHUNKED + chunk("fine"), end, text="fine", says=said)
        yield broken(f"{name} in the next size line", CHUNKED + chunk("fine") + b"1", end, text="fine")
        yield broken(f"{name} in the last size line", CHUNKED + chunk("fine") + b"0", end, text="fine")
        yield broken(f"{name} before the length", head("content-length: 9") + b"fine", end, text="fine")
        yield broken(f"{name} inside a character", head("content-length: 9") + b"fine\xd0", end, text="fine")
        yield lost(f"{name} inside the first character", head("content-length: 9") + b"\xf0\x9f", end)
        yield broken(f"{name} later on", CHUNKED + chunk("fi"), pause(0.02), chunk("ne"), pause(0.02), end, text="fine")
    yield broken("RST where the end is the end", CLOSED + b"fine", pause(0.05), rst, text="fine")
    yield broken("close inside a character", CLOSED + b"fine\xd0", fin, text="fine")
    yield lost("close inside the first character", CLOSED + b"\xd0", fin, kept=True)
    yield broken("cut with close_notify", CHUNKED + chunk("fine"), bye, text="fine", says=_ENDED)
    for name, script in {
        "chunked": (chunked("fine", b"\xd0"),),
        "a length": (sized(b"fine\xf0\x9f\xa6"),),
        "close_notify": (CLOSED + b"fine\xd0", bye),
    }.items():
        over, said = (TLS if bye in script else BOTH), "ends in the middle of a character"
        yield refused(
            f"{name} inside a character", *script, error=DecodeError, text="fine", says=said, kept=True, over=over
        )
    yield refused("a length inside the first character", sized(b"\xd0"), error=DecodeError, kept=True)


def _unknown_framings() -> Iterator[Case]:
    for name, value in {
        "negative": "-4",
        "with a plus": "+4",
        "not a number": "xyz",
        "hexadecimal": "0x4",
        "a fraction": "4.0",
        "endless": "9" * 30,
        "other digits": "\u0664",
        "empty": "",
        "two in one line": "4, 5",
    }.items():
        yield refused(f"Content-Length {name}", head(f"content-length: {value}") + b"fine", fin, says="framing")
    yield refused("two Content-Lengths", head("content-length: 4", "content-length: 3") + b"fine", fin, says="framing")
    for coding in (
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "xchunked",
        "",
        "chunked;q=1",
    ):
        framed = head(f"transfer-encoding: {coding}") + chunk("fine") + END
        yield refused(f"Transfer-Encoding: {coding or 'empty'}", framed, fin, says="framing", hint="in chunks")
    twice = head("transfer-encoding: chunked", "transfer-encoding: chunked") + chunk("fine") + END
    yield refused("Transfer-Encoding twice", twice, fin, says="framing")


def _wrong_chunks() -> Iterator[Case]:
    for name, line in {
        "negative": b"-4\r\nfine\r\n0\r\n\r\n",
        "not hexadecimal": b"zz\r\nfine\r\n0\r\n\r\n",
        "with a prefix": b"0x4\r\nfine\r\n0\r\n\r\n",
        "empty": b"\r\nfine\r\n0\r\n\r\n",
        "of seventeen digits": b"f" * 17 + b"\r\nfine",
        "without a line end": b"4" * 5000,
        "with a blank before it": b" 4\r\nfine\r\n0\r\n\r\n",
        "negative zero": b"-0\r\n\r\n",
    }.items():
        yield lost(f"first chunk size {name}", CHUNKED + line, fin, says="framing")
        if name != "without a line end":
            yield broken(f"later chunk size {name}", CHUNKED + chunk("fine") + line, fin, text="fine", says="framing")
    yield broken(
        "a framing fault is told at once", CHUNKED + chunk("fine") + b"zz\r\n", stall, text="fine", says="framing"
    )
    yield broken("huge chunk size", CHUNKED + b"7fffffffffffffff\r\nfine", fin, text="fine")
    yield broken(
        "a chunk longer than its size", CHUNKED + b"4\r\nfineXX\r\n0\r\n\r\n", fin, text="fine", says="framing"
    )


def _endless() -> Iterator[Case]:
    yield broken("trailers without end", CHUNKED + chunk("fine") + b"0\r\n", flood(b"x-more: y\r\n"), text="fine")
    yield broken("a trailer without end", CHUNKED + chunk("fine") + b"0\r\n", flood(b"x"), text="fine")
    yield refused(
        "endless body",
        CLOSED,
        flood(b"x"),
        text="x" * 100_000,
        error=ReplyTooLargeError,
        client={"max_reply_bytes": 100_000},
        hint="max_reply_bytes",
    )
    yield refused(
        "endless chunks",
        CHUNKED,
        flood(chunk("x" * 9)),
        text="x" * 100_000,
        error=ReplyTooLargeError,
        client={"max_reply_bytes": 100_000},
    )
    yield refused(
        "too long inside a character",
        sized("ш" * 9),
        text="ш" * 2,
        error=ReplyTooLargeError,
        client={"max_reply_bytes": 5},
    )

"""What a whole body says: text in UTF-8 or not, web pages, JSON errors, nothing, and what is compressed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

from fault_server import fin, flood, stall

from acytoo_sdk import DecodeError, EmptyReplyError

from .case import (
    CLOSED,
    PAGE,
    Case,
    after,
    broken,
    chunked,
    head,
    lost,
    refused,
    sized,
    well,
)


def texts() -> Iterator[Case]:
    yield from _characters()
    yield from _labels()
    yield from _pages()
    yield from _json()
    yield from _event_streams()
    yield from _empty()
    yield from _compressed()


def _characters() -> Iterator[Case]:
    fox = "Жж€🦊e\u0301"
    for at in range(1, len(fox.encode())):
        yield well(f"split after byte {at}", chunked(fox.encode()[:at], fox.encode()[at:]), text=fox)
    yield well("every byte a chunk", chunked(*(bytes((byte,)) for byte in fox.encode())), text=fox)
    for name, bad in {
        "invalid": b"\xff\xfe",
        "a lone continuation": b"\x80",
        "overlong": b"\xc0\xaf",
        "overlong, three bytes": b"\xe0\x80\xaf",
        "a surrogate": b"\xed\xa0\x80",
        "beyond Unicode": b"\xf4\x90\x80\x80",
        "a character that goes wrong": b"\xe2\x82\x28",
        "five bytes": b"\xf8\x88\x80\x80\x80",
    }.items():
        yield refused(f"UTF-8, {name}", chunked("ок", bad + b"more"), text="ок", error=DecodeError)
        yield refused(f"UTF-8, {name} at the start", sized(bad), error=DecodeError)
        yield refused(f"UTF-8, {name} in one piece", sized("fine ☃".encode() + bad), text="fine ☃", error=DecodeError)
    yield well("BOM", sized(b"\xef\xbb\xbffine"))
    yield well("BOM in parts", chunked(b"\xef", b"\xbb", b"\xbff", "ine"))
    yield well("BOM in the middle", sized("fi\ufeffne"), text="fi\ufeffne")
    yield lost("BOM alone", sized(b"\xef\xbb\xbf"), error=EmptyReplyError, kept=True)
    yield broken("part of a BOM after text", CLOSED + b"fine\xef\xbb", fin, text="fine")
    yield well(
        "control characters",
        sized("\x00a\x1b[31m\x07\x7f\x9b\u202eb\u2066\r\n"),
        text="\x00a\x1b[31m\x07\x7f\x9b\u202eb\u2066\r\n",
    )
    yield well("replacement characters of its own", sized("\ufffd"), text="\ufffd")
    yield well("blanks only", chunked(" ", "\n", "\t"), text=" \n\t")
    yield well("one line end", sized("\n"), text="\n")


def _labels() -> Iterator[Case]:
    yield well("labelled latin-1, is UTF-8", sized("é", kind="text/plain; charset=iso-8859-1"), text="é")
    yield well("labelled nonsense", sized("é", kind="text/plain; charset=bogus-9"), text="é")
    yield well("no label", sized("é", kind=None), text="é")
    yield well("binary label", sized("é", kind="application/octet-stream"), text="é")
    yield refused(
        "latin-1", sized(b"caf\xe9 noir", kind="text/plain; charset=iso-8859-1"), text="caf", error=DecodeError
    )
    yield refused("UTF-16", sized("hi".encode("utf-16"), kind="text/plain; charset=utf-16"), error=DecodeError)
    yield refused("an image", sized(b"\x89PNG\r\n\x1a\n" + bytes(40), kind="image/png"), error=DecodeError)


def _pages() -> Iterator[Case]:
    page = f"\n\n {PAGE}"
    yield refused(
        "page", sized(page, kind="text/html"), says="Bad gateway", facts={"body": page}, hint="browser", kept=True
    )
    yield refused("page in parts", chunked(*page, kind="text/html; charset=utf-8"), says="Bad gateway", kept=True)
    yield refused("page without a label", sized(page, kind=None), kept=True)
    yield refused("page in capitals", sized("<HTML><BODY>no", kind="TEXT/HTML"), kept=True)
    yield refused("endless page", head(kind="text/html"), b"<html>", flood(b"x"), says="web page")
    yield refused(
        "cut page", head("content-length: 999", kind="text/html") + b"<html><title>Hm</title>", fin, says="Hm"
    )
    yield refused("challenge", sized("Just a moment", "cf-mitigated: challenge"), says="Just a moment", kept=True)
    yield refused(
        "stalled challenge",
        head("cf-mitigated: challenge", "content-length: 9") + b"Hm",
        stall,
        timeout=after(idle=0.15),
        says="Hm",
    )
    yield well("a page as plain text", sized(PAGE), text=PAGE)
    yield well("text labelled as a page", sized("<b>fine</b>", kind="text/html"), text="<b>fine</b>")
    yield well("nearly a page", chunked("<!doc", "uments>", kind="text/html"), text="<!documents>")
    yield broken(
        "cut where it may be a page", head("content-length: 9", kind="text/html") + b"<!doc", fin, text="<!doc"
    )


def _json() -> Iterator[Case]:
    mistake = '{"error": {"message": "no \\u043a\\u043b\\u044e\\u0447"}}'
    yield refused(
        "JSON error", sized(mistake, kind="application/json"), says="no ключ", facts={"body": mistake}, kept=True
    )
    yield refused(
        "JSON error in parts", chunked(*mistake, kind="application/json; charset=utf-8"), says="no ключ", kept=True
    )
    yield refused("JSON error, a string", sized('{"error": "tired"}', kind="application/json"), says="tired", kept=True)
    yield well("JSON error that is null", sized('{"error": null}', kind="application/json"), text='{"error": null}')
    yield well("JSON without error", sized('{"a": [1]}', kind="application/json"), text='{"a": [1]}')
    yield well("JSON that is none", sized("{fine", kind="application/json"), text="{fine")
    yield well("JSON error as plain text", sized(mistake), text=mistake)
    yield broken("cut JSON", head("content-length: 99", kind="application/json") + b'{"error"', fin, text='{"error"')


def _event_streams() -> Iterator[Case]:
    yield refused("event stream", sized("data: {}\n\n", kind="text/event-stream; charset=utf-8"), hint="protocol")
    yield refused("endless event stream", head(kind="text/event-stream"), flood(b"data: {}\n\n"))


def _empty() -> Iterator[Case]:
    yield lost("empty, length", sized(""), error=EmptyReplyError, kept=True, hint="later")
    yield lost("empty, chunked", chunked(), error=EmptyReplyError, kept=True)
    yield lost("empty, close", CLOSED, fin, error=EmptyReplyError)
    yield lost("empty, 204", head(status="204 None"), error=EmptyReplyError, kept=True)
    yield lost(
        "204 that has a length",
        head("content-length: 4", status="204 None") + b"fine",
        error=EmptyReplyError,
        kept=True,
    )
    yield lost("empty, no label", sized("", kind=None), error=EmptyReplyError, kept=True)


def _compressed() -> Iterator[Case]:
    packed = gzip.compress(b"fine" * 99)
    for coding in ("gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "unknown"):
        yield refused(
            f"Content-Encoding: {coding}",
            sized(packed, f"content-encoding: {coding}"),
            says="compressed",
            hint="accept-encoding",
        )
    yield refused("gzip without a label", sized(packed), error=DecodeError, text="\x1f")
    yield refused("deflate without a label", sized(zlib.compress(b"fine" * 99)), error=DecodeError, text="x")
    yield refused("a gzip bomb", head("content-encoding: gzip"), flood(gzip.compress(bytes(10**6))))
    yield well("Content-Encoding: identity", sized("fine", "content-encoding: identity"))
    yield well("Content-Encoding empty", sized("fine", "content-encoding:"))

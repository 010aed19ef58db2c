"""What is no head of an HTTP reply, heads that look odd and are fine, and interim replies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fault_server import Step, drip, fin, flood, pause, rst

from acytoo_sdk import APIStatusError

from .case import END, OK, PLAIN, STATUS_LINE, Case, chunk, head, lost, refused, sized, well


def heads() -> Iterator[Case]:
    yield no_head("FIN inside the status line", b"HTTP/1.1 20", fin)
    yield no_head("FIN after the status", b"HTTP/1.1 200", fin)
    yield no_head("RST inside the status line", b"HTTP/1.1 2", rst)
    yield no_head("FIN after the status line", STATUS_LINE, fin)
    yield no_head("FIN inside a header", STATUS_LINE + b"content-le", fin)
    yield no_head("FIN between headers", STATUS_LINE + b"content-length: 4\r\n", fin)
    yield no_head("FIN before the empty line is whole", STATUS_LINE + b"content-length: 4\r\n\r", fin)
    yield no_head("RST inside the headers", STATUS_LINE + b"content-length: 4\r\nx-", rst)
    yield no_head("garbage", b"\x00\x01\xfe\xffgarbage\r\n\r\n", fin, says="does not speak HTTP")
    yield no_head("garbage without a line end", b"\x00\x01\xfe\xff" * 99, fin)
    yield no_head("HTTP/0.9", b"<p>Hello, I am text</p>\n", fin, says="does not speak HTTP")
    yield no_head("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", fin, says="does not speak HTTP")
    yield no_head("HTTP/2 frames", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), fin)
    yield no_head("HTTP/2 status line", b"HTTP/2.0 200 OK\r\n\r\n", fin)
    yield no_head("an escape sequence as the version", b"HTTP/9\x1b[31m 200 OK\r\n\r\n", fin)
    yield no_head("TLS alert in plain", b"\x15\x03\x01\x00\x02\x02\x28", fin, over=PLAIN)
    yield no_head("status 000", b"HTTP/1.1 000 Zero\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield no_head("status 1000", b"HTTP/1.1 1000 Much\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield no_head("status 99", b"HTTP/1.1 99 Few\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield no_head("negative status", b"HTTP/1.1 -200 Less\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield no_head("status in words", b"HTTP/1.1 OK 200\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield no_head("status line too long", b"HTTP/1.1 200 " + b"x" * 70000 + b"\r\n\r\n", fin)
    yield no_head("status line without end", b"HTTP/1.1 200 ", flood(b"x"))
    yield no_head("header too long", STATUS_LINE + b"x-long: " + b"x" * 70000 + b"\r\n\r\n", fin)
    yield no_head("header without end", STATUS_LINE + b"x-long: ", flood(b"x"))
    yield no_head("too many headers", STATUS_LINE + b"".join(b"x-%d: y\r\n" % n for n in range(150)) + b"\r\n", fin)
    yield no_head("headers without end", STATUS_LINE, flood(b"x-more: y\r\n"))
    yield no_head(
        "blank in a header's name", STATUS_LINE + b"bad name: x\r\ncontent-length: 4\r\n\r\nfine", fin, says="malformed"
    )
    yield no_head(
        "blank before the colon", STATUS_LINE + b"transfer-encoding : chunked\r\n\r\n" + chunk("fine") + END, fin
    )
    yield no_head("header without a colon", STATUS_LINE + b"no colon here\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield no_head("header without a name", STATUS_LINE + b": x\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield no_head("a first header that is folded", STATUS_LINE + b" content-length: 4\r\n\r\nfine", fin)
    for name, line in {
        "a bare CR in a header": b"x-odd: a\rtransfer-encoding: chunked\r\n",
        "a bare CR before a line's end": b"x-odd: a\r\r\n",
        "a NUL in a header": b"x-odd: a\0b\r\n",
        "a NUL in a name": b"x-\0odd: a\r\n",
    }.items():
        yield no_head(name, STATUS_LINE + line + b"content-length: 4\r\n\r\nfine", fin, says="stray CR or NUL")
    for name, status_line in {"CR": b"HTTP/1.1 200 O\rK\r\n", "NUL": b"HTTP/1.1 200 O\0K\r\n"}.items():
        yield no_head(
            f"a stray {name} in the status line", status_line + b"content-length: 4\r\n\r\nfine", fin, says="stray"
        )
    folded = head("transfer-encoding:\r\n chunked") + chunk("fine") + END
    yield well("folded Transfer-Encoding", folded)
    yield well("folded Content-Length", head("content-length:\r\n\t4") + b"fine")
    yield well("names in capitals", b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n" + chunk("fine") + END)
    yield well("no reason phrase", b"HTTP/1.1 200\r\ncontent-length: 4\r\n\r\nfine")
    yield well("bare line feeds", b"HTTP/1.1 200 OK\ncontent-length: 4\n\nfine")
    yield well("latin-1 in a header", sized("fine", b"x-caf\x65: \xe9\xff"))
    yield well("head byte by byte", drip(OK[:60], 0.001), OK[60:])
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    yield well("100 before the reply", go_on, OK)
    yield well("102 before the reply", b"HTTP/1.1 102 Processing\r\n\r\n", OK)
    yield well("103 before the reply", early, OK)
    yield well("103 with a length before the reply", b"HTTP/1.1 103 Hm\r\ncontent-length: 9\r\n\r\n" + OK)
    yield well("many interim replies of all kinds", (go_on + early) * 50, pause(0.02), early, OK)
    yield no_head("FIN after an interim reply", early, fin)
    yield no_head("FIN inside an interim reply", early[:-2], fin)
    yield no_head("malformed status after an interim reply", early, b"HTTP/1.1 1000 Much\r\n\r\n", fin)
    yield refused(
        "101",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n",
        fin,
        request_id=None,
        says="101",
        hint="base_url",
    )
    yield refused(
        "status 999", sized("no", status="999 Odd"), error=APIStatusError, facts={"status_code": 999}, kept=True
    )


def no_head(name: str, *script: Step, **more: Any) -> Case:
    """Ends before a head that HTTP knows: tried again, and no id of a request is known."""
    return lost(name, *script, request_id=None, **more)

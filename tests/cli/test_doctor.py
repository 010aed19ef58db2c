"""`acytoo doctor` as its user runs it, against servers of each kind: what it says, how it ends, what it asks."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme
from fault_server import FaultServer, stall
from local_proxy import answering, http_proxy
from programs import Done, acytoo

from acytoo_sdk import Client, Timeout
from acytoo_sdk.cli.examining.examination import Examination
from acytoo_sdk.cli.examining.probes import ProbeError, resolve
from acytoo_sdk.testing import NOTICE, FakeServer, Fault

SECRETS = {"ACYTOO_KEY": "sesame-key-1", "ACYTOO_PASSWORD": "open-password-2"}
WORDS = [f"word {number}, " for number in range(12)]


def doctor(url: str, *arguments: str, **env: str) -> tuple[Done, dict[str, Any]]:
    """What the command leaves with `--json`, and its object. No secret is in either output."""
    done = acytoo("doctor", "--json", "--base-url", url, *arguments, env={**SECRETS, **env})
    assert not re.search("sesame|open-pass|proxy-pass", done.stdout + done.stderr)
    report = json.loads(done.stdout)
    assert report["status"] == done.status
    assert report["ok"] is (done.status == 0)
    return done, report


def failed(url: str, *arguments: str, **env: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and the step that failed: the last one, and no other."""
    _, report = doctor(url, *arguments, **env)
    *before, last = report["steps"]
    assert last["ok"] is False
    assert last["mend"]
    assert all(step["ok"] is not False for step in before)
    return report["status"], last


def seen(report: dict[str, Any], name: str) -> dict[str, Any]:
    """A step of a report."""
    found: dict[str, Any] = next(step for step in report["steps"] if step["name"] == name)
    return found


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# All is well


def test_a_server_that_streams_is_well_after_one_question() -> None:
    with FakeServer(WORDS) as server:
        done, report = doctor(server.url)
        assert len(server.requests) == 1
    assert (done.status, done.stderr, report["summary"]) == (0, "", "All is well.")
    assert [(step["name"], step["ok"]) for step in report["steps"]] == [
        ("server", True),
        ("proxy", None),
        ("name", True),
        ("connection", True),
        ("TLS", None),
        ("reply", True),
        ("text", True),
        ("end", True),
        ("streaming", True),
    ]
    assert seen(report, "reply")["saw"] == "HTTP 200, text/plain; charset=utf-8"
    assert seen(report, "text")["saw"] == f"UTF-8, {len(''.join(WORDS))} characters"
    assert re.fullmatch(r"first piece after .*, then 11 over .*", seen(report, "streaming")["saw"])
    assert all(
        (step["seconds"] is None) is (step["ok"] is None or step["name"] == "server") for step in report["steps"]
    )
    assert all(step["mend"] is None for step in report["steps"])


def test_the_report_says_what_the_object_says() -> None:
    with FakeServer(WORDS, framing="close") as server:
        done = acytoo("doctor", "--base-url", server.url)
        _, report = doctor(server.url)
    marks = {True: "ok", None: "-"}
    lines = []
    for step in report["steps"]:
        lines.append(f"{marks[step['ok']]:<6}{step['name']:<11}{step['saw']}")
        lines += [f"{'':17}better: {step['mend']}"] if step["mend"] else []
    assert done.status == 0
    assert without_times(done.stdout) == without_times("\n".join([*lines, report["summary"], ""]))
    assert report["summary"] == "All is well; one thing could be better."


def without_times(text: str) -> str:
    return re.sub(r"[0-9.]+ m?s\b", "TIME", text)


def test_a_failure_is_reported_with_its_mend_on_a_line_of_its_own(closed_port: int) -> None:
    done = acytoo("doctor", "--base-url", f"http://127.0.0.1:{closed_port}")
    assert (done.status, done.stderr) == (3, "")
    assert done.stdout.splitlines()[3:] == [
        f"FAIL  connection 127.0.0.1:{closed_port} Connection refused",
        f"{'':17}to mend: nothing listens on 127.0.0.1:{closed_port}: start a server with "
        f"`acytoo serve --port {closed_port}`",
        "It fails at: connection (exit status 3).",
    ]


def test_local_needs_no_server() -> None:
    done = acytoo("doctor", "--local")
    assert (done.status, done.stderr) == (0, "")
    assert re.match(r"ok    server     http://127.0.0.1:[0-9]+ \(--local\)\n", done.stdout)
    assert "ok    streaming  first piece after" in done.stdout


def test_no_server_at_all_is_a_bad_setting() -> None:
    done = acytoo("doctor")
    assert done.status == 2
    assert done.stdout.startswith(
        "FAIL  server     no server: pass --base-url URL, set ACYTOO_BASE_URL, or try --local"
    )
    assert "to mend: where there is none yet, `acytoo serve` starts one" in done.stdout


def test_a_bad_setting_is_named() -> None:
    status, step = failed("http://127.0.0.1:1", "--temperature", "9")
    assert (status, step["name"]) == (2, "server")
    assert step["saw"] == "--temperature must be 0 to 2, not 9.0"


# The way there


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*arguments: object, **more: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    status, step = failed("http://chat.example")
    assert (status, step["name"]) == (3, "name")
    assert step["saw"] == "chat.example has no address: Name or service not known"
    assert "check the name for a slip" in step["mend"]


@pytest.mark.parametrize(
    ("url", "proxy", "asked"),
    [
        ("http://chat.example", None, ("chat.example", 80)),
        ("https://chat.example", None, ("chat.example", 443)),
        ("https://chat.example:8443", None, ("chat.example", 8443)),
        ("https://chat.example", "http://proxy.example", ("proxy.example", 80)),
        ("http://chat.example", "https://proxy.example", ("proxy.example", 443)),
        ("http://chat.example", "socks5h://proxy.example", ("proxy.example", 1080)),
    ],
)
def test_the_name_that_is_looked_up_is_that_of_the_first_connection(
    url: str, proxy: str | None, asked: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[tuple[object, ...]] = []

    def nobody(*arguments: object, **more: object) -> list[Any]:
        names.append(arguments)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with Client(url, proxy=proxy) as client:
        steps = [*Examination(client).steps()]
    assert [step.ok for step in steps] == [None if proxy is None else True, False]
    assert proxy is None or steps[0].saw == f"{proxy}:{asked[1]}"
    assert names == [asked]


def test_a_name_that_no_host_can_have() -> None:
    with pytest.raises(ProbeError, match=r"^a\.\.example can be no host's name$"):
        resolve("a..example", 80, limit=20)


def test_a_name_server_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    looked_up = threading.Event()

    def silent(*arguments: object, **more: object) -> list[Any]:
        looked_up.set()
        released.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        status, step = failed("http://chat.example", "--timeout", "0.2")
        assert looked_up.is_set()
        assert not released.is_set()
    finally:
        released.set()
    assert (status, step["saw"]) == (3, "chat.example was not found within 0.2 s")
    assert "no name server answers" in step["mend"]


def test_each_address_is_tried_and_named(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    with FakeServer(WORDS) as server:
        port = int(server.url.rpartition(":")[2])

        def two(*arguments: object, **more: object) -> list[Any]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.1", each)) for each in (closed_port, closed_port, port, port)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        _, report = doctor(f"http://localhost:{port}")
    saw = seen(report, "connection")["saw"]
    assert re.fullmatch(f"127.0.0.1:{closed_port} Connection refused; 127.0.0.1:{port} in .*", saw)


def test_tls_is_spoken_with_the_address_that_answered(
    monkeypatch: pytest.MonkeyPatch, closed_port: int, trust: Trust
) -> None:
    with trust.server() as server:
        port = int(server.url.rpartition(":")[2])

        def two(*arguments: object, **more: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in (closed_port, port)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        assert doctor(server.url, "--ca", trust.bundle)[0].status == 0


def test_the_connection_that_the_doctor_makes_asks_nothing() -> None:
    with FakeServer(WORDS) as server:
        doctor(server.url)
        assert (server.connections, len(server.requests)) == (2, 1)


# TLS


class Trust:
    """An authority, and servers with certificates of it."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.bundle = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.bundle)

    def server(self, *names: str, begins: float = -9, ends: float = 99) -> FakeServer:
        """One whose certificate holds for so many days."""
        now = datetime.now(timezone.utc)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        first, last = now + timedelta(days=begins), now + timedelta(days=ends, minutes=5)
        issued = self.authority.issue_cert(*names or ("127.0.0.1",), not_before=first, not_after=last)
        issued.configure_cert(context)
        return FakeServer(WORDS, tls=context)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


def test_a_certificate_that_is_trusted_is_told_with_its_days(trust: Trust) -> None:
    with trust.server() as server:
        done, report = doctor(server.url, "--ca", trust.bundle)
        assert len(server.requests) == 1
    step = seen(report, "TLS")
    assert (done.status, step["ok"], step["mend"]) == (0, True, None)
    assert re.fullmatch(r"TLSv1.[23], certificate of trustme.*, by trustme.*, 99 days left", step["saw"])


def test_a_certificate_that_ends_soon_is_a_remark(trust: Trust) -> None:
    with trust.server(ends=13) as server:
        done, report = doctor(server.url, "--ca", trust.bundle)
    assert done.status == 0
    assert seen(report, "TLS")["mend"] == "renew it before it ends"
    assert "13 days left" in seen(report, "TLS")["saw"]


def test_the_environments_authority_is_trusted_as_by_the_client(trust: Trust) -> None:
    with trust.server() as server:
        assert doctor(server.url, SSL_CERT_FILE=trust.bundle)[0].status == 0


def test_an_unknown_authority(trust: Trust) -> None:
    with trust.server() as server:
        status, step = failed(server.url)
        assert (len(server.requests), server.errors) == (0, [])
    assert (status, step["name"]) == (3, "TLS")
    assert "unable to get local issuer certificate; it holds from" in step["saw"]
    assert "for 127.0.0.1, made by trustme" in step["saw"]
    assert "--ca FILE" in step["mend"]


def test_an_expired_certificate_says_since_when(trust: Trust) -> None:
    with trust.server(begins=-9, ends=-2) as server:
        status, step = failed(server.url, "--ca", trust.bundle)
    day = (datetime.now(timezone.utc) - timedelta(days=2) + timedelta(minutes=5)).strftime("%Y-%m-%d")
    assert status == 3
    assert re.search(f"certificate has expired; it holds from .* to {day}", step["saw"])
    assert "renew the certificate" in step["mend"]


def test_a_certificate_for_another_host_names_its_hosts(trust: Trust) -> None:
    with trust.server("other.example", "*.example.net") as server:
        status, step = failed(server.url, "--ca", trust.bundle)
    assert status == 3
    assert "not valid for '127.0.0.1'" in step["saw"]
    assert "for other.example, *.example.net" in step["saw"]
    assert "ask by a name that the certificate has: https://other.example:" in step["mend"]


def test_https_to_a_plain_port() -> None:
    with FakeServer(WORDS) as server:
        status, step = failed(server.url.replace("http", "https"))
        assert server.requests == []
    assert (status, step["name"]) == (3, "TLS")
    assert f"speaks plain http: --base-url {server.url}" in step["mend"]


def test_http_to_a_port_that_speaks_tls(trust: Trust) -> None:
    with trust.server() as server:
        status, step = failed(server.url.replace("https", "http"))
        assert server.requests == []
    assert (status, step["name"]) == (3, "reply")
    assert f"speaks https: --base-url {server.url}" in step["mend"]


def test_a_bundle_that_is_none(tmp_path: Path, trust: Trust) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with trust.server() as server:
        status, step = failed(server.url, "--ca", str(tmp_path / "ca.pem"))
    assert (status, step["name"], step["mend"]) == (2, "TLS", "--ca takes a file of certificates in PEM")


# Proxies


def test_a_proxy_stands_in_the_place_of_the_server() -> None:
    heads: list[bytes] = []
    with FakeServer(WORDS) as server, FaultServer([http_proxy(server.url, heads)]) as proxy:
        address = f"http://joe:proxy-password@127.0.0.1:{proxy.port}"
        done, report = doctor("http://chat.example", "--proxy", address)
        assert (len(server.requests), len(heads)) == (1, 1)
    assert done.status == 0
    assert seen(report, "proxy")["saw"] == f"http://127.0.0.1:{proxy.port}"
    assert seen(report, "name")["saw"] == "127.0.0.1 is an address; that of chat.example is the proxy's business"
    assert re.fullmatch(f"127.0.0.1:{proxy.port} in .*, the proxy", seen(report, "connection")["saw"])


def test_the_environments_proxy_is_used_but_never_for_this_machine(closed_port: int) -> None:
    proxy = f"http://127.0.0.1:{closed_port}"
    status, step = failed("http://chat.example", HTTP_PROXY=proxy, http_proxy=proxy)
    assert (status, step["name"]) == (3, "connection")
    assert f"is the proxy 127.0.0.1:{closed_port} running" in step["mend"]
    with FakeServer(WORDS) as server:
        done, report = doctor(server.url, HTTP_PROXY=proxy, http_proxy=proxy)
    assert (done.status, seen(report, "proxy")["ok"]) == (0, None)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_asks_for_credentials(scheme: str) -> None:
    heads: list[bytes] = []
    with FaultServer([http_proxy("http://127.0.0.1:1", heads, credentials="joe:right")]) as proxy:
        status, step = failed(
            f"{scheme}://chat.example", "--proxy", f"http://joe:proxy-password@127.0.0.1:{proxy.port}"
        )
        assert len(heads) == 1
    assert (status, step["name"]) == (3, "reply")
    assert "asks for credentials (HTTP 407)" in step["saw"]
    assert "http://USER:PASSWORD@HOST:PORT" in step["mend"]


def test_a_proxy_that_refuses() -> None:
    heads: list[bytes] = []
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with FaultServer([answering(refusal, heads)]) as proxy:
        status, step = failed("https://chat.example", "--proxy", proxy.url)
        assert (status, len(heads)) == (3, 1)
        assert "have the proxy let chat.example:443 through" in step["mend"]
        status, step = failed("http://chat.example", "--proxy", proxy.url)
        assert (status, len(heads)) == (4, 2)
        assert f"or it is the proxy 127.0.0.1:{proxy.port} that refuses" in step["mend"]


def test_tls_through_a_proxy_is_left_to_the_question(trust: Trust) -> None:
    heads: list[bytes] = []
    with trust.server() as server, FaultServer([http_proxy(server.url, heads)]) as proxy:
        status, step = failed("https://127.0.0.1:1", "--proxy", proxy.url)
        assert (status, step["name"], len(heads)) == (3, "reply", 1)
        assert "is not to be trusted: unable to get local issuer certificate" in step["saw"]
        assert "--ca FILE" in step["mend"]
        done, report = doctor("https://127.0.0.1:1", "--proxy", proxy.url, "--ca", trust.bundle)
    assert done.status == 0
    assert seen(report, "TLS")["ok"] is None


# The reply

QUOTING = "no: sesame-key-1 and open-password-2"


@pytest.mark.parametrize(
    ("fault", "status", "step", "saw", "mend"),
    [
        (Fault.status(401, body=QUOTING), 4, "reply", "HTTP 401 Unauthorized: no: *** and ***", "config set key"),
        (Fault.status(403), 4, "reply", "HTTP 403 Forbidden", "config set key"),
        (Fault.status(404), 1, "reply", "HTTP 404 Not Found", "name the path with --path; usual are /api/completions"),
        (Fault.status(405), 1, "reply", "HTTP 405 Method Not Allowed", "takes no POST"),
        (Fault.status(422), 1, "reply", "HTTP 422", "--payload ai-sdk or prompt"),
        (Fault.status(429, retry_after=7), 5, "reply", "HTTP 429", "wait 7 s, then ask again"),
        (Fault.status(429), 5, "reply", "HTTP 429", "wait a while"),
        (Fault.status(500), 1, "reply", "HTTP 500", "the server failed: see its log"),
        (Fault.status(503, headers={"x-quoted": QUOTING}), 1, "reply", "HTTP 503", "no server behind it"),
        (
            Fault.redirect("https://new.example/api/completions"),
            1,
            "reply",
            "redirects",
            "--base-url https://new.example",
        ),
        (Fault.redirect(f"/{QUOTING}"), 1, "reply", "redirects", "it leads to /no: *** and ***"),
        (Fault.html_page("Welcome"), 1, "reply", "web page instead of a reply: Welcome; text/html", "a web site?"),
        (Fault.html_page(), 1, "reply", "Just a moment", "asks browsers to prove themselves"),
        (Fault.html_page("Wait", challenge=True), 1, "reply", "Wait", "asks browsers to prove themselves"),
        (Fault.json_error(QUOTING), 1, "reply", "no: *** and ***; application/json", "see the server's log"),
        (Fault.json_error(), 1, "reply", "the model is overloaded", "is the model gpt-3.5-turbo known there?"),
        (Fault.event_stream(), 1, "reply", "event stream", "put `acytoo serve --upstream URL` in front of it"),
        (Fault.compressed(), 1, "reply", "compressed (gzip)", "not compress this endpoint"),
        (Fault.empty(), 1, "text", "The server's reply is empty", "does it know the model gpt-3.5-turbo?"),
        (Fault(text=b"caf\xe9"), 1, "text", "not UTF-8", "the server must send UTF-8"),
        (Fault(text=b"\xff"), 1, "text", "not UTF-8", "the server must send UTF-8"),
        (Fault.cut(after=3), 6, "end", "The reply broke off", "end replies early"),
        (Fault.reset(after=3), 6, "end", "The reply broke off", "end replies early"),
        (Fault.cut(after=0), 3, "reply", "the connection ended before the reply did", "hung up"),
        (Fault.reset(), 3, "reply", "broke the connection before its reply", "hung up"),
        (Fault.drop(), 3, "reply", "closed the connection before its reply", "hung up"),
        (Fault.raw(b"SSH-2.0-OpenSSH_9.6\r\n"), 3, "reply", "does not speak HTTP/1", "is it another service"),
        (Fault.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), 1, "reply", "framing", "in chunks"),
    ],
)
def test_each_fault_has_its_step_its_status_and_its_mend(
    fault: Fault, status: int, step: str, saw: str, mend: str
) -> None:
    with FakeServer(WORDS, pause=0, faults=[fault]) as server:
        ended, last = failed(server.url)
        assert len(server.requests) == 1
        assert server.connections == (3 if status == 3 else 2), "who gave no reply may have been asked in the plain"
    assert (ended, last["name"]) == (status, step)
    assert saw in last["saw"]
    assert mend in last["mend"]


@pytest.mark.parametrize(
    ("fault", "status", "step", "phase"),
    [
        (Fault.no_head(), 3, "reply", "first_byte"),
        (Fault.stall(after=0), 3, "reply", "first_byte"),
        (Fault.stall(after=3), 6, "end", "idle"),
    ],
)
def test_a_silent_server_is_told_by_the_limit_that_ran_out(fault: Fault, status: int, step: str, phase: str) -> None:
    limits = Timeout(first_byte=0.3, idle=0.3)
    with FakeServer(WORDS, pause=0, faults=[fault]) as server, Client(server.url, timeout=limits) as client:
        examination = Examination(client)
        last = list(examination.steps())[-1]
        assert len(server.requests) == examination.questions == 1
    assert (examination.status, last.name, last.ok) == (status, step, False)
    assert f"{phase} limit (0.3 s)" in last.saw
    assert "silent" in (last.mend or "")


def test_the_limit_of_the_command_line_is_named() -> None:
    with FakeServer(faults=[Fault.no_head()]) as server:
        status, step = failed(server.url, "--timeout", "0.3")
    assert (status, step["name"]) == (3, "reply")
    assert "the total limit ran out (0.3 s)" in step["saw"]
    assert "--timeout SECONDS" in step["mend"]


def test_a_server_that_accepts_and_says_nothing_over_tls() -> None:
    with FaultServer([[stall]]) as server:
        status, step = failed(server.url.replace("http", "https"), "--timeout", "0.3")
    assert (status, step["name"], step["saw"]) == (3, "TLS", "no answer in 0.3 s")
    assert "speak https? If not: --base-url http://" in step["mend"]


def test_an_end_that_nothing_proves_is_a_remark() -> None:
    with FakeServer(WORDS, framing="close") as server:
        done, report = doctor(server.url)
    assert done.status == 0
    assert seen(report, "end")["ok"] is True
    assert "have the server send it in chunks" in seen(report, "end")["mend"]


def test_text_that_is_called_json_is_a_remark() -> None:
    with FakeServer(WORDS, headers={"content-type": "application/x-ndjson"}) as server:
        done, report = doctor(server.url)
    assert done.status == 0
    assert "see --path" in seen(report, "reply")["mend"]


def test_a_notice_is_told() -> None:
    with FakeServer([*WORDS, NOTICE]) as server:
        _, report = doctor(server.url)
    assert seen(report, "text")["saw"].endswith(" characters; a notice after it was taken off")


# Streaming


def asked(server: FakeServer) -> list[str]:
    return [request.json["messages"][0]["content"] for request in server.requests if request.json]


def test_a_reply_in_one_piece_is_asked_for_once_more_at_more_length() -> None:
    with FakeServer("all of it") as server:
        status, step = failed(server.url)
        assert asked(server) == [f"Count from 1 to {number} in words, one per line." for number in (40, 120)]
    assert (status, step["name"]) == (1, "streaming")
    assert step["saw"].startswith("none: twice the reply came as one piece, now after")
    assert "X-Accel-Buffering: no" in step["mend"]


def test_a_short_reply_in_one_piece_is_no_proof_where_the_next_one_streams() -> None:
    with FakeServer(lambda chat: WORDS if "120" in str(chat) else "one") as server:
        done, report = doctor(server.url)
        assert len(server.requests) == 2
    assert done.status == 0
    assert ", then 11 over " in seen(report, "streaming")["saw"]


def test_the_second_question_may_fail() -> None:
    with FakeServer("one", faults=[None, Fault.status(429, retry_after=3)]) as server:
        status, step = failed(server.url)
        assert len(server.requests) == 2
    assert (status, step["name"], step["mend"]) == (5, "streaming", "wait 3 s, then ask again")


def test_a_server_that_buffers() -> None:
    def after_a_silence(chat: dict[str, Any]) -> Iterator[str]:
        time.sleep(0.8)
        yield from ["one\n", "two\n", "three\n"]

    with FakeServer(after_a_silence, pause=0.003) as server:
        status, step = failed(server.url)
        assert len(server.requests) == 2
    assert (status, step["name"]) == (1, "streaming")
    assert "something between buffers" in step["mend"]
    assert "proxy_buffering off" in step["mend"]


def test_a_model_that_has_to_be_loaded_first_does_not_buffer() -> None:
    def loading(chat: dict[str, Any]) -> Iterator[str]:
        if "120" not in str(chat):
            time.sleep(0.8)
        yield from WORDS

    with FakeServer(loading, pause=0.02) as server:
        done, _ = doctor(server.url)
    assert done.status == 0


def test_pieces_that_are_over_at_once_are_too_fast_to_tell_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.cli.examining.examination.judge_arrival", lambda arrivals: "fast")
    with FakeServer(WORDS, pause=0) as server:
        done, report = doctor(server.url)
        assert len(server.requests) == 1
    assert done.status == 0
    assert seen(report, "streaming")["saw"].endswith(": too fast to tell more")


@pytest.mark.parametrize("reply", ["all of it\n", "all of it\n\n\n", "\n\n"])
def test_a_line_end_that_was_held_back_is_no_piece(reply: str) -> None:
    with FakeServer(reply) as server:
        status, step = failed(server.url)
    assert (status, step["name"]) == (1, "streaming")
    assert "as one piece" in step["saw"]


def test_every_step_is_announced_before_it_is_taken() -> None:
    told: list[str] = []
    with FakeServer(WORDS) as server, Client(server.url) as client:
        for step in Examination(client).steps(told.append):
            assert told[-1] == step.name
    assert told == ["proxy", "name", "connection", "TLS", "reply", "text", "end", "streaming"]


# What is shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_secret_shows(form: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"content-type": f"text/plain; {QUOTING}; token=header-secret-3"}
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    said = f"{QUOTING} header-secret-3"
    for fault in (None, Fault.status(500, body=said, headers=headers), Fault.json_error(said)):
        with FakeServer(WORDS, pause=0, headers=headers, faults=[fault, fault]) as server:
            done = acytoo("doctor", *form, "--base-url", server.url, "--header", "x-token=header-secret-3")
            assert len(server.requests) >= 1
        assert not re.search("sesame|open-pass|header-secret", done.stdout + done.stderr)
        assert "***" in done.stdout


def test_control_characters_of_the_server_are_not_written() -> None:
    with FakeServer(faults=[Fault.json_error("\x1b]0;owned\x07 \u202e")]) as server:
        done = acytoo("doctor", "--base-url", server.url)
    assert not re.search("[\x1b\x07\u202e]", done.stdout)


def test_control_characters_of_a_setting_are_not_written() -> None:
    with FakeServer(faults=[Fault.empty()]) as server:
        done = acytoo("doctor", "--base-url", server.url, "-m", "a\x1b[2Jb")
    assert "does it know the model a\ufffd[2Jb?" in done.stdout

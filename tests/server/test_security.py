"""Nobody gets in who may not, and no secret gets out: each test fails without the guard that it is about."""

from __future__ import annotations

import json
import re
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from fault_server import FaultServer, Script
from raw_client import CHAT, RawClient, head, post
from scripted_upstream import END, HEAD, WHOLE, answer, sends
from served import Program, Served

from acytoo_sdk import AuthenticationError, Client
from acytoo_sdk._secrets import Secret

PASSWORD, UPSTREAM_KEY, CLIENT_KEY, PROMPT = "pass-12345678", "sk-upstream-1234", "sk-client-1234", "my-diary-of-1999"
PAGE = "https://chat.example"


def sent_key(request: bytes) -> str:
    """The key that an upstream was sent."""
    found = re.search(rb"\r\nauthorization: Bearer ([^\r]*)\r\n", request, re.IGNORECASE)
    return found[1].decode() if found else ""


# Other sites' pages.


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://", ""])
@pytest.mark.parametrize("path", ["/api/completions", "/healthz"])
def test_foreign_page_is_refused_whatever_it_asks(origin: str, path: str) -> None:
    with FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream, Served(upstream=upstream.url) as served:
        for request in (post(path=path, origin=origin, content_type="text/plain"), head("GET", path, origin=origin)):
            reply = served.ask(request)
            assert (reply.status, bool(reply.error)) == (403, True)
        preflight = served.ask(head("OPTIONS", path, origin=origin, access_control_request_method="POST"))
        assert preflight.status == 403
        assert not any(name.startswith("access-control") for name in preflight.headers)
        assert upstream.requests == []


def test_pages_of_this_very_address_may_ask() -> None:
    with Served() as served:
        assert served.ask(post(host=f"127.0.0.1:{served.port}", origin=served.url)).status == 200
        assert served.ask(post(host="localhost:1", origin="http://localhost:1")).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.0.1", "["])
def test_foreign_host_is_refused_on_loopback(host: str) -> None:
    with Served() as served:
        assert served.ask(post(host=host)).status == 403
        assert served.ask(head("GET", "/", host=host)).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:80", "a.localhost", "[::1]:80"])
def test_own_host_is_not(host: str) -> None:
    with Served() as served:
        assert served.ask(post(host=host)).status == 200


def test_any_host_is_right_where_the_server_is_reached_from_elsewhere() -> None:
    with Served(host="0.0.0.0") as served:
        assert served.ask(post(host="chat.example")).status == 200
        assert served.ask(post(host="chat.example", origin="http://chat.example")).status == 403


# Pages that may ask.


def test_allowed_page_may_ask_and_read_errors_too() -> None:
    busy = answer("429 Slow Down", b"{}", "retry-after: 7")
    scripts: list[Script] = [[HEAD + sends("Hi") + WHOLE], [busy]]
    with FaultServer(scripts) as upstream, Served(upstream=upstream.url, allow_origins=(PAGE,), max_body=500) as served:
        requests = [post(origin=PAGE), post(origin=PAGE), post({}, origin=PAGE), post(path="/x", origin=PAGE)]
        requests += [head("PUT", "/", origin=PAGE), post(body=b" " * 501, origin=PAGE), head("GET", "/", origin=PAGE)]
        replies = [served.ask(request) for request in requests]
        assert [reply.status for reply in replies] == [200, 429, 400, 404, 405, 413, 200]
        for reply in replies:
            assert reply.headers["access-control-allow-origin"] == PAGE
            assert reply.headers["access-control-expose-headers"] == "retry-after, x-request-id"
            assert reply.headers["vary"] == "Origin"
        assert served.ask(post(origin="https://evil.example")).status == 403
        assert served.ask(post()).headers["vary"] == "Origin"


def test_preflight_lets_an_allowed_page_send_what_the_ai_sdk_sends() -> None:
    asked = "content-type,user-agent,authorization"
    with Served(allow_origins=(PAGE, "https://other.example")) as served:
        reply = served.ask(
            head(
                "OPTIONS",
                "/api/chat",
                origin=PAGE,
                access_control_request_method="POST",
                access_control_request_headers=asked,
                access_control_request_private_network="true",
            )
        )
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert reply.headers["access-control-allow-methods"] == "GET, HEAD, POST, OPTIONS"
        assert reply.headers["access-control-allow-headers"] == asked
        assert reply.headers["access-control-allow-private-network"] == "true"
        assert "access-control-allow-credentials" not in reply.headers
        plain = served.ask(head("OPTIONS", "/api/chat", origin=PAGE))
        assert {"content-type", "user-agent"} <= set(plain.headers["access-control-allow-headers"].split(", "))


def test_no_password_is_asked_for_a_preflight() -> None:
    with Served(allow_origins=("*",), password=Secret(PASSWORD)) as served:
        assert served.ask(head("OPTIONS", "/api", origin="https://any.example")).status == 204
        refused = served.ask(post(origin="https://any.example"))
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "https://any.example")


# The password.


@pytest.mark.parametrize("place", ["password", "key", "pass"])
def test_password_is_taken_in_the_body(place: str) -> None:
    with Served(password=Secret(PASSWORD)) as served:
        assert served.ask(post({**CHAT, place: PASSWORD})).status == 200
        for wrong in ("", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper(), "п", None):
            refused = served.ask(post({**CHAT, place: wrong}))
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert PASSWORD not in str(refused)
        assert "characters" in served.log.wait()[0]
        assert PASSWORD not in str(served.log.lines)


def test_password_is_taken_as_a_bearers_token() -> None:
    with Served(password=Secret(PASSWORD)) as served:
        assert served.ask(post(authorization=f"Bearer {PASSWORD}")).status == 200
        assert served.ask(post(authorization=f"bearer  {PASSWORD}")).status == 200
        for wrong in (PASSWORD, f"Basic {PASSWORD}", "Bearer", "Bearer x", ""):
            assert served.ask(post(authorization=wrong)).status == 401


def test_nothing_is_asked_upstream_without_the_password() -> None:
    with (
        FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream,
        Served(upstream=upstream.url, password=Secret(PASSWORD)) as served,
    ):
        assert served.ask().status == 401
        assert upstream.requests == []
        with Client(served.url, retry=1) as client, pytest.raises(AuthenticationError, match="asks for a password"):
            client.complete("Hi")
        with Client(served.url, password=PASSWORD) as client:
            assert client.complete("Hi") == "Hi"
        assert PASSWORD.encode() not in upstream.requests[0]


def test_page_and_health_need_no_password() -> None:
    with Served(password=Secret(PASSWORD)) as served:
        assert served.ask(head("GET", "/")).status == served.ask(head("GET", "/healthz")).status == 200


# Keys.


def test_upstream_gets_its_own_key_and_nothing_of_the_client() -> None:
    said = {
        **CHAT,
        "key": CLIENT_KEY,
        "password": "x",
        "user": "me",
        "messages": [{"role": "user", "content": "Hi", "id": 7}],
    }
    with (
        FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream,
        Served(upstream=f"{upstream.url}/v1", upstream_key=Secret(UPSTREAM_KEY)) as served,
    ):
        served.ask(post(said, cookie="a=b", referer="http://x", x_forwarded_for="1.2.3.4", accept_encoding="gzip"))
        request_head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
        assert sent_key(upstream.requests[0]) == UPSTREAM_KEY
        assert json.loads(body) == {
            "model": "gpt-3.5-turbo",
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": True,
        }
        names = sorted(line.split(b":")[0].lower() for line in request_head.split(b"\r\n")[1:])
        assert names == sorted(
            b"host accept accept-encoding content-type user-agent authorization content-length connection".split()
        )
        assert b"accept-encoding: identity" in request_head.lower()


def test_key_of_the_client_is_passed_only_if_that_is_asked_for() -> None:
    with FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream:
        for options, expected in (
            ({}, ""),
            ({"upstream_key": Secret(UPSTREAM_KEY)}, UPSTREAM_KEY),
            ({"pass_client_key": True}, CLIENT_KEY),
            ({"pass_client_key": True, "upstream_key": Secret(UPSTREAM_KEY)}, CLIENT_KEY),
        ):
            with Served(upstream=upstream.url, **options) as served:
                served.ask(post({**CHAT, "key": CLIENT_KEY}))
                served.ask(post(authorization=f"Bearer {CLIENT_KEY}"))
                assert [sent_key(request) for request in upstream.requests[-2:]] == [expected, expected]


def test_password_never_goes_upstream_as_a_key() -> None:
    with (
        FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream,
        Served(
            upstream=upstream.url,
            password=Secret(PASSWORD),
            pass_client_key=True,
            upstream_key=Secret(UPSTREAM_KEY),
        ) as served,
    ):
        for request in (
            post({**CHAT, "key": PASSWORD}),
            post(authorization=f"Bearer {PASSWORD}"),
            post({**CHAT, "password": PASSWORD}),
        ):
            assert served.ask(request).text == "Hi"
            assert sent_key(upstream.requests[-1]) == UPSTREAM_KEY
        served.ask(post({**CHAT, "key": CLIENT_KEY, "password": PASSWORD}))
        assert sent_key(upstream.requests[-1]) == CLIENT_KEY
        assert PASSWORD.encode() not in b"".join(upstream.requests)


@pytest.mark.parametrize(
    "script",
    [
        [answer("401 No", json.dumps({"error": {"message": f"bad {UPSTREAM_KEY} {CLIENT_KEY} {PASSWORD}"}}).encode())],
        [answer("500 Oops", f"<title>{UPSTREAM_KEY} {CLIENT_KEY} {PASSWORD}</title>".encode(), kind="text/html")],
        [answer("200 OK", f"<title>{UPSTREAM_KEY} {CLIENT_KEY} {PASSWORD}</title>".encode(), kind="text/html")],
        [answer("429 No", b"{}", f"retry-after: {UPSTREAM_KEY}", f"x-key: {UPSTREAM_KEY}")],
        [
            HEAD
            + sends({"error": {"message": f"bad {UPSTREAM_KEY} {CLIENT_KEY} {PASSWORD}", "type": UPSTREAM_KEY}})
            + END
        ],
    ],
)
def test_no_secret_is_quoted_from_an_upstream(script: Script) -> None:
    with (
        FaultServer([script]) as upstream,
        Served(
            upstream=upstream.url,
            upstream_key=Secret(UPSTREAM_KEY),
            password=Secret(PASSWORD),
            pass_client_key=True,
        ) as served,
    ):
        reply = served.ask(post({**CHAT, "key": CLIENT_KEY, "password": PASSWORD}))
        assert reply.status >= 400
        assert reply.error["message"]
        for secret in (UPSTREAM_KEY, CLIENT_KEY, PASSWORD):
            assert secret not in str(reply)
            assert secret not in str(served.log.wait())


# The log.


def test_log_tells_of_each_request_in_one_line_without_its_words() -> None:
    scripts: list[Script] = [
        [HEAD + sends("four") + WHOLE],
        [HEAD + sends("four")[:-2] + b"oops"],
        [answer("500 Oops", f'{{"error": {{"message": "{PROMPT}", "type": "{PROMPT}"}}}}'.encode())],
        [HEAD + sends("a", {"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": PROMPT}}]}) + END],
    ]
    said = {"model": "evil\n2000-01-01 m\x1b[1m", "prompt": PROMPT, "key": CLIENT_KEY}
    with FaultServer(scripts) as upstream, Served(upstream=upstream.url) as served:
        for count in range(1, 5):
            served.ask(post(said))
            line = served.log.wait(count)[-1]
            assert re.fullmatch(
                r"[0-9a-f]{16} \d+ evil\?2000-01-01\?m\?\[1m \d+ characters \d+\.\d\d s [A-Za-z0-9: ]+", line
            )
        served.ask(head("GET", f"/{PROMPT}"))
        served.ask(b"GET / HTTP/1.1\r\nauthorization: \0" + CLIENT_KEY.encode() + b"\r\n\r\n")
        lines = served.log.wait(6)
        assert len(lines) == 6
        assert PROMPT not in str(lines)
        assert CLIENT_KEY not in str(lines)
        assert "200 evil?2000-01-01?m?[1m 4 characters" in lines[0]
        assert lines[0].endswith("s complete")


def test_bug_is_told_by_its_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError(PROMPT)

    monkeypatch.setattr("acytoo_sdk.server.app.read_question", fail)
    with Served() as served:
        reply = served.ask()
        assert (reply.status, reply.error) == (500, {"message": "the server has a fault", "type": "server_error"})
        (line,) = served.log.wait()
        assert line.endswith("internal error: ZeroDivisionError")


def test_bug_in_the_middle_breaks_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: object) -> str:
        monkeypatch.undo()
        raise ZeroDivisionError

    with (
        FaultServer([[HEAD + sends("Hi"), sends(" you") + WHOLE]]) as upstream,
        Served(upstream=upstream.url) as served,
    ):
        with RawClient(served.port) as client:
            monkeypatch.setattr("aiohttp.web.StreamResponse.write_eof", fail)
            reply = client.ask(post())
        assert (reply.status, reply.end) == (200, "cut")
        served.log.wait_for("internal error: ZeroDivisionError")


def test_program_shows_no_secret_anywhere() -> None:
    quoted = json.dumps({"error": {"message": f"bad {UPSTREAM_KEY} {CLIENT_KEY} {PASSWORD}"}}).encode()
    scripts: list[Script] = [[answer("401 No", quoted)], [b"HTTP/1.1 200 OK\r\n" + UPSTREAM_KEY.encode() + b"\r\n\r\n"]]
    environment = {"UP": UPSTREAM_KEY, "PW": PASSWORD}
    options = ("--upstream-key-env", "UP", "--password-env", "PW", "--pass-client-key", "--host", "127.0.0.2")
    with FaultServer([*scripts, [HEAD + sends("Hi") + WHOLE]]) as upstream:
        with Program("--upstream", upstream.url, *options, env=environment) as program:
            command = Path(f"/proc/{program.process.pid}/cmdline").read_bytes()
            replies = []
            for _ in range(3):
                with socket.create_connection(("127.0.0.2", program.port)) as connection:
                    said = {"prompt": PROMPT, "password": PASSWORD, "key": CLIENT_KEY}
                    connection.sendall(post(said, host="127.0.0.2", connection="close"))
                    replies.append(b"".join(iter(lambda: connection.recv(65536), b"")))
        assert replies[2].endswith(b"2\r\nHi\r\n0\r\n\r\n")
        shown = f"{command!r} {replies} {program.first_line} {program.out} {program.err}"
        for secret in (UPSTREAM_KEY, CLIENT_KEY, PASSWORD, PROMPT):
            assert secret not in shown
        lines = program.err.splitlines()
        assert lines[0].startswith("try it:  ACYTOO_PASSWORD=... acytoo ask --base-url http://127.0.0.2:")
        assert lines[1].startswith("or:      curl ")
        assert [line.split(" s ")[1] for line in lines[2:]] == ["upstream 401", "upstream not HTTP", "complete"]


# Who can reach it.


def test_only_this_machine_reaches_it_by_default() -> None:
    with Served() as served, pytest.raises(OSError):  # noqa: PT011 - refused, or unreachable
        socket.create_connection((_address_of_this_machine(), served.port), timeout=1.0).close()


def _address_of_this_machine() -> str:
    """Another than loopback's; nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no other address")
        return str(probe.getsockname()[0])


def test_https_is_served_with_a_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Served(tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem")) as served:
        assert served.url.startswith("https://")
        with Client(served.url, verify=str(tmp_path / "ca.pem")) as client:
            stream = client.stream("Hi")
            assert stream.read().startswith("You said: Hi")
            assert stream.whole
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        own = post(host=f"127.0.0.1:{served.port}", origin=served.url)
        assert served.ask(own, tls=context).status == 200
        with socket.create_connection(("127.0.0.1", served.port)) as plain:
            plain.sendall(post())
            assert b"200" not in plain.recv(100)
        assert served.ask(tls=context).status == 200

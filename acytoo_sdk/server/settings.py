"""Settings: what `acytoo serve` is told. They are checked by `cli.serve`, and where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .._secrets import Secret


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that the server is told; shows no secret.

    Attributes:
        host: what it listens on.
        port: 0 for any that is free.
        tls_cert, tls_key: files that make it an https server; None for http.
        upstream: address of an OpenAI-compatible server, up to and with its `/v1`; "" to answer offline.
        model: what the upstream is asked for, whatever the client asked for; "" for the client's.
        model_map: what it is asked for in place of single models, whatever `model` says.
        upstream_key: sent to the upstream.
        pass_client_key: whether a client's own key is sent there instead.
        password: what whoever asks has to send; "" for none.
        allow_origins: of web pages that may ask.
        first_byte_timeout: seconds from the question being sent to the first byte of the upstream's body.
        idle_timeout: seconds of the longest silence of the upstream from then on.
        max_body: bytes of the longest question.
        max_streams: how many replies may be on their way at a time.
        grace: seconds that running replies are given when the server is to end.
        reply: what is answered offline; None to say back what was said.
        pause: seconds between the words of an offline reply.
        fault: of an offline reply, as `NAME` or `NAME=VALUE`; "" for none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tls_cert: str | None = None
    tls_key: str | None = None
    upstream: str = ""
    model: str = ""
    model_map: Mapping[str, str] = field(default_factory=dict)
    upstream_key: Secret[str] = field(default=Secret(""))
    pass_client_key: bool = False
    password: Secret[str] = field(default=Secret(""))
    allow_origins: tuple[str, ...] = ()
    first_byte_timeout: float = 120.0
    idle_timeout: float = 60.0
    max_body: int = 4 * 2**20
    max_streams: int = 1000
    grace: float = 10.0
    reply: str | None = None
    pause: float = 0.02
    fault: str = ""

"""Access: who may ask, and which web pages may read the answer. No I/O.

The user's own browser reaches what no firewall lets others reach. Any page in it can post text/plain to a server of
this machine without asking, so a foreign `Origin` is refused. A page can also have its own host's name lead to this
machine (DNS rebinding), so that the browser takes the server for the page's own; a foreign `Host` shows it, and is
refused too.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol; https://wicg.github.io/private-network-access/.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence

from .._hosts import host_of, is_loopback
from .._secrets import Secret
from .failures import Failure
from .wire import Question

# What the AI SDK's transport sends (it sets user-agent), and what people add to it.
_ALLOWED_HEADERS = "accept, authorization, content-type, user-agent, x-request-id, x-requested-with"
_EXPOSED_HEADERS = "retry-after, x-request-id"
_HEADER_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,1000}")
_ANY = "*"
_PORTS = {"http": ":80", "https": ":443"}


class Access:
    """Decides about requests.

    Args:
        host: what the server listens on; on a loopback address, a request for another host is a foreign one.
        password: what whoever asks has to send; "" for none.
        origins: of the web pages that may ask, besides the server's own; "*" for any.
    """

    def __init__(self, *, host: str, password: Secret[str], origins: Sequence[str]) -> None:
        self._on_loopback = is_loopback(host)
        self._password = password
        self._origins = frozenset(map(_normal, origins))
        # A page that may ask may do so through a proxy on its own host, which passes its `Host` on.
        self._hosts = frozenset(host_of(origin.partition("://")[2]) for origin in origins) - {""}

    def check_source(self, headers: Mapping[str, str]) -> None:
        """Refuses requests that a stranger's web page made; names of headers are in lower case.

        Raises:
            Failure: 403.
        """
        host, origin = headers.get("host"), headers.get("origin")
        if self._on_loopback and host is not None:  # no browser leaves it out
            name = host_of(host)
            if not is_loopback(name) and name not in self._hosts:
                raise Failure(403, "this server is asked for under a foreign name (Host)", "foreign host")
        if origin is not None and not self._allows(origin, host or ""):
            raise Failure(
                403, "web pages of this origin may not ask here: allow it with --allow-origin", "foreign origin"
            )

    def check_password(self, question: Question) -> None:
        """Refuses a question without the password.

        Raises:
            Failure: 401.
        """
        told = [self._is_password(each) for each in question.passwords]  # all of them, so that the time tells nothing
        if self._password and not any(told):
            raise Failure(
                401,
                "this server asks for a password: send it as password, as key, or as Authorization: Bearer",
                "no password",
                headers={"www-authenticate": "Bearer"},
            )

    def key_for_upstream(self, question: Question) -> Secret[str]:
        """The client's own key, which is never this server's password."""
        return Secret("") if self._is_password(question.key) else question.key

    def cors_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """What lets an allowed page read the answer, be it an error; nothing for others."""
        if not self._origins:
            return {}
        origin = headers.get("origin")
        if origin is None or not self._is_named(origin):
            return {"vary": "Origin"}
        return {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": _EXPOSED_HEADERS,
            "vary": "Origin",
        }

    def preflight_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """What a page that is allowed to ask may send."""
        origin = headers.get("origin")
        if origin is None or not self._is_named(origin):
            return {}
        asked = headers.get("access-control-request-headers", "")
        answer = {
            "access-control-allow-methods": "GET, HEAD, POST, OPTIONS",
            "access-control-allow-headers": asked if _HEADER_NAMES.fullmatch(asked) else _ALLOWED_HEADERS,
            "access-control-max-age": "600",
        }
        if headers.get("access-control-request-private-network") == "true":
            answer["access-control-allow-private-network"] = "true"
        return answer

    def _allows(self, origin: str, host: str) -> bool:
        """Whether pages of this origin may ask: named ones, and those of this very address of this machine."""
        own = (_normal(f"http://{host}"), _normal(f"https://{host}"))
        return self._is_named(origin) or (is_loopback(host_of(host)) and _normal(origin) in own)

    def _is_named(self, origin: str) -> bool:
        return _ANY in self._origins or _normal(origin) in self._origins

    def _is_password(self, told: Secret[str]) -> bool:
        one, other = (secret.reveal().encode(errors="surrogatepass") for secret in (told, self._password))
        return hmac.compare_digest(one, other)


def _normal(origin: str) -> str:
    """An origin as browsers write it: in lower case, without the port that its scheme has anyway."""
    origin = origin.lower()
    return origin.removesuffix(_PORTS.get(origin.partition("://")[0], ""))

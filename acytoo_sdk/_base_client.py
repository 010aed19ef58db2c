"""What the blocking and the async client have in common: their configuration, and the pool they share with others.

Options are checked in `_options`, and sockets are opened in `_network`; here they are only kept together.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from ._network.pool import Pool
from ._options import Options, RetryPolicy, Timeout
from ._secrets import Secret
from ._streams.call import Call
from .protocol import Messages

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._options import Changes


class BaseClient:
    """What both clients are made of; how a call waits is said by the classes below this one."""

    def __init__(self, given: Secret[Mapping[str, object]]) -> None:
        self._options = Options.of(given)
        self._options.check_secrets()
        self._pool = Pool(self._options, size=self._pool_size())

    @property
    def options(self) -> Options:
        """The options in force, after arguments, environment and defaults were checked; read-only, shows no secret.

        Example:
            >>> from acytoo_sdk import Client
            >>> Client("http://127.0.0.1:8000/", key="sesame").options.base_url
            'http://127.0.0.1:8000'
        """
        return self._options

    def with_options(self, **changes: Unpack[Changes]) -> Self:
        """Makes a client with some options changed, on the same connections; closing either closes both.

        Args:
            changes: any argument of the constructor, except `verify`, `cert` and `proxy`, which belong to the
                connections, and `max_streams`.

        Returns:
            The new client; this one stays as it is.

        Raises:
            InvalidRequestError: an option is unknown, cannot be changed, or has a value that is not usable; or a
                secret would be dropped, or go to the default host.

        Example:
            >>> from acytoo_sdk import Client
            >>> Client("http://127.0.0.1:8000").with_options(model="other")
            Client(base_url='http://127.0.0.1:8000', model='other')
        """
        given = Secret({**changes})
        del changes
        options = self._options.changed(given)
        options.check_secrets()
        client = object.__new__(type(self))
        client.__dict__.update(self.__dict__, _options=options)
        return client

    def __repr__(self) -> str:
        if "_options" not in vars(self):
            return object.__repr__(self)  # its constructor failed, and somebody renders the traceback
        return f"{type(self).__name__}(base_url={self._options.base_url!r}, model={self._options.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"_options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pool = Pool(self._options, size=self._pool_size())

    def _pool_size(self) -> int:
        """How many idle connections are kept."""
        return 100

    def _call(
        self,
        messages: Messages,
        model: str | None,
        temperature: float | None,
        timeout: Timeout | float | EllipsisType | None,
        retry: RetryPolicy | int | None,
    ) -> Call:
        """A call, its arguments checked; nothing is sent yet."""
        self._pool.check_open()
        options = self._options.for_call(model=model, temperature=temperature, timeout=timeout, retry=retry)
        return Call(self._options.request(messages, options), options, self._options, self._pool)

"""LangChain: `ChatAcytoo`, a chat model for chains and graphs, on the clients of this package. Text, no tools.

    pip install 'acytoo-sdk[langchain]'

    ChatAcytoo(base_url="https://chat.example.com", model="gpt-3.5-turbo").invoke("Hi")

Its fields are a client's options. Nothing is known here of the wire: each call is a client's.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, NoReturn

try:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.load import dumpd
    from pydantic import AliasChoices, ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator
    from pydantic_core import PydanticCustomError
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in ("langchain_core", "pydantic", "pydantic_core"):
        raise
    sentence = "ChatAcytoo needs LangChain: pip install 'acytoo-sdk[langchain]'"
    raise ModuleNotFoundError(sentence, name=missing.name) from None

from ..._checks import StrPath
from ..._options import OPTIONS, RetryPolicy, Timeout
from ..._secrets import Secret
from ..._streams.base import BaseStream
from ...errors import InvalidRequestError
from ...events import Listener
from ...protocol import DEFAULT_MAX_REPLY_BYTES, DEFAULT_PATH, Payload
from .clients import Clients, hidden_key, retry_of
from .fields import ALIASES, FIELDS, SECRETS, refusal, revealed, shown
from .messages import end_of_reply, piece_of_reply, turns_of, whole_reply
from .stop_words import StopWords, async_pieces_before, check_stop, pieces_before

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from typing_extensions import Self

_log = logging.getLogger(__name__)

_OF_A_CALL = ("model", "temperature", "timeout", "retry", "max_retries")
"""The arguments that a call takes; LangChain passes its own `stream=` as well, and reads it itself."""


class ChatAcytoo(BaseChatModel):
    """A chat model for LangChain that asks an endpoint which sends bare UTF-8 text.

    Everything that LangChain does with chat models works, as far as text goes: `invoke`, `stream`, `batch`, their async
    twins, `astream_events`, callbacks, `bind(stop=[...])`, caches, rate limiters, `with_retry` and `with_fallbacks`.
    Text comes piece by piece, and a call fails in the errors of this package. Pictures, files and tools are refused:
    the endpoint has no place for them.

    The arguments are those of `Client`, checked like them, under the names that LangChain's users know: `api_key` is
    its `key`, and `max_retries` says how often `retry` tries again. Environment variables speak where an argument
    does not. A call may bring `model`, `temperature`, `timeout`, `retry`, `max_retries` and `stop` of its own.

    A model is safe to share between threads and event loops. It keeps its connections for the next call, and so does
    its `model_copy(update=...)`; they close when the last of them is dropped. It pickles, with its secrets in clear.

    A cache keeps the replies of models apart that differ in more than limits and retries. With a key, a password,
    headers, a proxy or a payload function, one that outlives the process answers no other process: secrets do not
    leave this one, not even as a digest that could be checked by guessing.

    `dumps` of `langchain_core.load` writes a model down without its secrets, and this call makes one of it again:
    `loads(text, allowed_objects=[ChatAcytoo], valid_namespaces=["acytoo_sdk"], secrets_map={"ACYTOO_KEY": key})`.
    `ACYTOO_PASSWORD`, `ACYTOO_PROXY`, and `ACYTOO_HEADERS`, a dict, are read from that map in the same way; headers
    that are not in it are left out without a word. A payload function or an `SSLContext` is not read back.

    A message's `response_metadata` holds `model_name`, `request_id`, and `whole`: True, or None where the framing
    cannot tell, if the reply is complete; False after a stop word, where the connection was closed. Tokens are not
    counted: the endpoint does not tell how many there are.

    Args:
        base_url: scheme, host and maybe a path of your server; `ACYTOO_BASE_URL`. One of the two has to be there.
        model: the model's name; `ACYTOO_MODEL`, else "gpt-3.5-turbo".
        api_key: the service's key; `ACYTOO_KEY`. Never shown.
        password: the service's password; `ACYTOO_PASSWORD`. Never shown.
        temperature: 0 to 2; default 0.5.
        timeout: limits in seconds; a number is `Timeout(total=number)`, None switches all of them off.
        max_retries: how often an attempt that failed before its first text is made again; None: as `retry` says.
        stop: stop words: a reply ends before the first of them, wherever the pieces are cut.
        max_tokens: is known to LangChain alone, as the endpoint has no place for it; a warning is logged.
        streaming: whether `invoke`, too, tells its callbacks of each piece.
        headers: added to each request, or in place of the standard headers. Never shown.
        path, payload, proxy, verify, cert, retry, strip_notices, max_reply_bytes, on_event: see `Client`.
        more: what any chat model takes, as `callbacks`, `cache` and `rate_limiter`.

    Raises:
        ValidationError: of pydantic, which is a `ValueError`: an argument, or an environment variable, is not usable,
            unknown, or missing; the message names it.

    Example:
        >>> from acytoo_sdk.testing import FakeServer
        >>> with FakeServer("Hello!") as server:
        ...     ChatAcytoo(base_url=server.url).invoke("Hi").content
        'Hello!'
    """

    # What does not fit is named without being quoted: it may hold a secret.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    base_url: str | None = None
    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name"))
    api_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("api_key", "key"))
    password: SecretStr | None = None
    temperature: float | None = None
    timeout: Timeout | float | None = Timeout()
    max_retries: int | None = None
    stop: list[str] | str | None = None
    max_tokens: int | None = None
    streaming: bool = False
    path: str = DEFAULT_PATH
    headers: Mapping[str, SecretStr] | None = None
    payload: Payload = "acytoo"
    proxy: SecretStr | None = None
    verify: bool | StrPath | SSLContext = True
    cert: StrPath | tuple[StrPath, StrPath] | None = None
    retry: RetryPolicy | int = RetryPolicy()
    strip_notices: bool = True
    max_reply_bytes: int | None = DEFAULT_MAX_REPLY_BYTES
    on_event: Listener | None = Field(default=None, exclude=True)

    _clients: Clients | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:  # type checkers read the arguments off the fields

        def __init__(self, /, **given: Any) -> None:
            # LangChain and pydantic hold the arguments in frames of their own, which must not be left in a traceback.
            arguments = Secret(given)
            del given
            refused = refusal(super().__init__, arguments)
            if refused is not None:
                raise refused

    @field_validator("temperature", "timeout", "max_retries", "max_tokens", "retry", "max_reply_bytes", mode="before")
    @classmethod
    def _check_number(cls, value: object) -> object:
        """Refuses what pydantic would take for 0 or 1."""
        if isinstance(value, bool):
            raise PydanticCustomError("number", "must be a number, not bool")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Checks the fields as the clients do, and fills in what the environment and the defaults say."""
        try:
            check_stop("stop", self.stop)
            options = self._current_clients().blocking.options
        except InvalidRequestError as error:
            raise PydanticCustomError("invalid_request", "{sentence}", {"sentence": str(error)}) from None
        if options.base_url_given:
            self.base_url = options.base_url
        self.model, self.temperature = options.model, options.temperature
        if options.key:
            self.api_key = SecretStr(options.key.reveal())
        if options.password:
            self.password = SecretStr(options.password.reveal())
        if self.max_tokens is not None:
            _log.warning("ChatAcytoo does not send max_tokens: the endpoint has no place for it")
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, which are checked at its next call, on the same connections if that can be.

        Args:
            update: the new values, under the names that the constructor takes.
            deep: whether the values that stay are copied, too.

        Raises:
            InvalidRequestError: there is no such option.
        """
        changes = Secret({ALIASES.get(name, name): value for name, value in (update or {}).items()})
        del update
        for name in changes.reveal():
            if name not in type(self).model_fields:
                raise InvalidRequestError(f"ChatAcytoo has no option {name!r}")
        return super().model_copy(update=changes.reveal(), deep=deep)

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any) -> NoReturn:
        """Refuses: the endpoint streams bare text, and has no place for tools.

        Args:
            tools: any.
            tool_choice: any.
            kwargs: any.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("ChatAcytoo cannot bind tools: the endpoint streams bare text, and knows no tools")

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> NoReturn:
        """Refuses: it would be made of tools.

        Args:
            schema: any.
            include_raw: any.
            kwargs: any.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "ChatAcytoo has no structured output: the endpoint streams bare text; ask for JSON in the prompt, and put "
            "a parser after the model, as `model | JsonOutputParser()`"
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        stream = self._current_clients().blocking.stream(call.turns, **call.arguments)
        text = "".join(pieces_before(stream, call.words))
        return whole_reply(text, call.metadata(stream))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._call(messages, stop, kwargs)
        stream = self._current_clients().blocking.stream(call.turns, **call.arguments)
        for text in pieces_before(stream, call.words):
            chunk = piece_of_reply(text)
            if run_manager is not None:
                run_manager.on_llm_new_token(text, chunk=chunk)
            yield chunk
        yield end_of_reply(call.metadata(stream))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        stream = self._current_clients().asynchronous.stream(call.turns, **call.arguments)
        async with aclosing(async_pieces_before(stream, call.words)) as pieces:
            text = "".join([text async for text in pieces])
        return whole_reply(text, call.metadata(stream))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = self._call(messages, stop, kwargs)
        stream = self._current_clients().asynchronous.stream(call.turns, **call.arguments)
        async with aclosing(async_pieces_before(stream, call.words)) as pieces:
            async for text in pieces:
                chunk = piece_of_reply(text)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(text, chunk=chunk)
                yield chunk
        yield end_of_reply(call.metadata(stream))

    @property
    def _llm_type(self) -> str:
        return "acytoo"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        options = self._current_clients().blocking.options
        return {"model_name": options.model, "temperature": options.temperature, "base_url": options.base_url}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """What stands for this model in a cache of replies: all that a reply depends on."""
        options = self._current_clients().blocking.options
        of_call = {name: value for name, value in kwargs.items() if name not in ("timeout", "retry", "max_retries")}
        seen = {
            "class": self.lc_id(),
            **{name: getattr(options, name) for name in ("base_url", "path", "model", "temperature", "strip_notices")},
            "stop": self.stop if stop is None else stop,
            **of_call,
        }
        return f"{sorted(seen.items())} {hidden_key(options)}"

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        # Callbacks are told of all arguments, and LangChain does that first: an unknown one may be a secret.
        try:
            self._check_names([*kwargs])
        except InvalidRequestError:
            del kwargs
            raise
        return super()._get_invocation_params(stop=stop, **kwargs)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=check_stop("stop", self.stop) if stop is None else stop, **kwargs)
        params.pop("ls_max_tokens", None)  # no limit is in force
        return params

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether LangChain may write a model down: it may, without its secrets."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The fields that are secrets, and the names that stand for them where a model is written down."""
        return SECRETS

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Limits and retries as JSON holds them, which are read back, and the address without credentials."""
        limits = {"timeout": self.timeout, "retry": self.retry}
        as_json = {name: asdict(value) for name, value in limits.items() if isinstance(value, Timeout | RetryPolicy)}
        return as_json | {"base_url": shown("base_url", self.base_url)}

    @property
    def _serialized(self) -> dict[str, Any]:
        """What callbacks are told of this model. LangChain keeps what it wrote at the first call; fields change."""
        written: dict[str, Any] = dumpd(self)
        return written

    def __repr_args__(self) -> Any:
        return [(name, shown(name, value)) for name, value in super().__repr_args__()]

    def _current_clients(self) -> Clients:
        """The clients of the fields as they are now: LangChain, and `model_copy(update=...)`, set fields unseen."""
        given = self._given()
        clients = self._clients
        if clients is None or clients.given != given:
            clients = self._clients = Clients.of(given) if clients is None else clients.changed(given)
        return clients

    def _given(self) -> Secret[dict[str, Any]]:
        """The arguments of a client."""
        retry = retry_of(self.retry, self.max_retries)
        return Secret({name: revealed(getattr(self, FIELDS.get(name, name))) for name in OPTIONS} | {"retry": retry})

    def _check_names(self, names: Sequence[str]) -> None:
        """Refuses the arguments that a call does not take."""
        for name in names:
            if name not in (*_OF_A_CALL, "stream"):
                known = name != "max_tokens" and ALIASES.get(name, name) in type(self).model_fields
                reason = "it is an option of ChatAcytoo" if known else "the endpoint has no place for it"
                raise InvalidRequestError(
                    f"ChatAcytoo takes no {name}= in a call: {reason}; a call takes {', '.join(_OF_A_CALL)} and stop"
                )

    def _call(self, messages: list[BaseMessage], stop: object, kwargs: Mapping[str, Any]) -> _Call:
        self._check_names([*kwargs])
        arguments = {name: kwargs[name] for name in _OF_A_CALL if name in kwargs}
        max_retries, retry = arguments.pop("max_retries", None), arguments.get("retry")
        if max_retries is not None:
            arguments["retry"] = retry_of(self.retry if retry is None else retry, max_retries)
        words = check_stop("stop", self.stop if stop is None else stop)
        model = arguments.get("model") or self._current_clients().blocking.options.model
        return _Call(turns_of(messages), arguments, StopWords(words), model)


@dataclass(frozen=True)
class _Call:
    """One call, as a client is asked for it.

    Attributes:
        turns: the messages of the wire.
        arguments: those of a client's `stream`.
        words: where the reply ends.
        model: the model that is asked.
    """

    turns: list[dict[str, object]]
    arguments: dict[str, Any]
    words: StopWords
    model: str

    def metadata(self, stream: BaseStream) -> dict[str, Any]:
        """What is known of the reply."""
        request_id = None if stream.head is None else stream.head.request_id
        return {"model_name": self.model, "whole": stream.whole, "request_id": request_id}

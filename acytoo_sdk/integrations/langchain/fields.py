"""The fields of `ChatAcytoo`: their other names, which of them are secrets, and what is shown of them.

Refusals of arguments are made here, so that none of them quotes a value. What values are usable is for the clients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from ..._secrets import MASK, Secret, clears_frames, without_credentials

FIELDS = {"key": "api_key"}
"""The options of a client that LangChain has another name for."""

ALIASES = {**FIELDS, "model_name": "model"}
"""The other names of fields that are taken, too."""

SECRETS = {
    "api_key": "ACYTOO_KEY",
    "password": "ACYTOO_PASSWORD",
    "headers": "ACYTOO_HEADERS",
    "proxy": "ACYTOO_PROXY",
}
"""The fields that are never shown, and what stands for them where LangChain writes a model down."""


@clears_frames
def refusal(construct: Callable[..., None], arguments: Secret[dict[str, Any]]) -> ValidationError | None:
    """Constructs a model; returns the error if the arguments are refused, without the arguments that pydantic keeps."""
    try:
        construct(**arguments.reveal())
    except ValidationError as error:
        refused = [
            InitErrorDetails(
                type=PydanticCustomError(each["type"], "{said}", {"said": each["msg"]}), loc=each["loc"], input=MASK
            )
            for each in error.errors(include_context=False, include_input=False, include_url=False)
        ]
        return ValidationError.from_exception_data(error.title, refused, hide_input=True)
    return None


def shown(name: str | None, value: Any) -> Any:
    """A field's value without what is secret in it: one that was set without a check may be no SecretStr."""
    if name in SECRETS:
        return SecretStr(MASK)
    return without_credentials(value) if name == "base_url" and isinstance(value, str) else value


def revealed(value: Any) -> Any:
    """A field's value as a client takes it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {name: revealed(each) for name, each in value.items()}
    return value

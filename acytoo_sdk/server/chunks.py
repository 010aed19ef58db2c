"""Chunks, as OpenAI calls the objects of a streamed completion: their text, and how it ended. No I/O.

Servers tell of failures in many ways, most of which look like success to whoever only looks for text: an error object
in the middle, a finish reason, an end without one. The rule is that a reply is whole where the server says that it is
finished, and broken else.

Source: https://platform.openai.com/docs/api-reference/chat-streaming, and what other servers send, each named where it
is read.
"""

from __future__ import annotations

from typing import Any

from .._secrets import Mask
from .error_objects import reported_failure, tells_of_error
from .failures import Failure, upstream_failure
from .surrogates import HalfJoiner

# They say that the server gave up, or took back what it said; any other reason ends a reply well. In lower case, and
# up to a colon: Google writes "function_call_filter: MALFORMED_FUNCTION_CALL".
_FAILED_REASONS = {
    "error": "OpenRouter, LM Studio, Mistral",
    "content_filter": "OpenAI, Azure, Google",
    "function_call_filter": "Google",
    "safety": "Google",
    "recitation": "Google",
    "blocklist": "Google",
    "prohibited_content": "Google",
    "spii": "Google",
    "abort": "vLLM, SGLang",
    "insufficient_system_resource": "DeepSeek",
    "network_error": "Z.ai",
    "sensitive": "Z.ai",
}
_GOOD_REASONS = ("stop", "length", "tool_calls", "function_call")  # OpenAI's
_NO_REASONS = ("", "null")  # in each chunk of Ollama's before May 2024, and of DashScope's


class ChunkReader:
    """Serves one reply: takes what its chunks say, hands out its text, and tells what kind of end it had.

    Args:
        mask: applied to whatever the server says before it is shown.

    Attributes:
        failure: why the reply is not whole, once that is known; None after its end: it is.
        over: whether nothing more is to be expected: the server said so, or it failed.
        spoke: whether there was text.
        finish_reason: why the server says that the text ends here; "" if it does not.
    """

    def __init__(self, mask: Mask) -> None:
        self.failure: Failure | None = None
        self.over = False
        self.spoke = False
        self.finish_reason = ""
        self._mask = mask
        self._thought = False  # whether there was reasoning
        self._text = HalfJoiner()

    def receive(self, said: object) -> str:
        """Takes one chunk, or a completion that is whole; returns the text that is ready, "" if none is."""
        if self.over:
            return ""
        if isinstance(said, list) and len(said) == 1:
            said = said[0]  # Google wraps its errors so
        if not isinstance(said, dict):
            self.fail(upstream_failure("the upstream server sent JSON that is no object", "no object"))
            return ""
        choices = said.get("choices")  # there are none in an object of figures, or one that keeps the connection alive
        listed = choices if isinstance(choices, list) else []
        choice: dict[str, Any] = next((each for each in listed if _is_first(each)), {})
        text = self._receive_choice(choice)
        if tells_of_error(said):
            self.fail_by(said, "error object")
        elif self.finish_reason in _FAILED_REASONS:
            self.fail_by(choice if choice.get("error") else {}, f"finish reason {self.finish_reason}")  # OpenRouter's
        return text

    def finish(self, failure: Failure | None = None) -> str:
        """There is no more: returns the last text, and judges the end.

        Args:
            failure: why the reply is not whole, if the server never said that it is finished; None: it says so now.
        """
        if self.over:
            return ""
        self.over = True
        if failure is not None and not self.finish_reason:
            self.failure = failure
            return ""
        text = self._text.receive_eof()
        if not self.spoke and not text:
            self.failure = self._silence()
        return text

    def fail(self, failure: Failure) -> None:
        """The reply ends here, not whole, if it did not end before."""
        if not self.over:
            self.failure = failure
            self.over = True

    def fail_by(self, said: object, how: str, *, cut: bool = False) -> None:
        """The server tells of a failure: in an object, or in mere words."""
        otherwise = f"the upstream server failed: {how}"
        self.fail(reported_failure(said, how, mask=self._mask, otherwise=otherwise, cut=cut))

    def _receive_choice(self, choice: dict[str, Any]) -> str:
        delta = choice.get("delta")  # beside it, Perplexity's have a `message` with all of the text so far
        if not isinstance(delta, dict):
            delta = choice.get("message")
        if not isinstance(delta, dict):
            delta = {}
        content = delta.get("content") or delta.get("refusal")
        text = self._text.receive(_text_of(content))
        self.spoke = self.spoke or bool(text)
        # DeepSeek's; OpenRouter's, Ollama's; Mistral's, whose comes among the parts.
        thought = delta.get("reasoning_content") or delta.get("reasoning") or isinstance(content, list)
        self._thought = self._thought or bool(thought)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and (reason := reason.partition(":")[0].strip().lower()) not in _NO_REASONS:
            self.finish_reason = reason
        return text

    def _silence(self) -> Failure:
        """Why there is no text, although the server ended well."""
        reason = self.finish_reason
        if reason in ("tool_calls", "function_call"):
            said = "it asked for a tool, of which this server has none"
        elif self._thought:
            said = "all that came was reasoning, which is no part of a reply"
        else:
            said = "there was nothing in its reply"
        ended = f"finish reason {self._mask.quote(reason)}" if reason else "no finish reason"
        known = f"finish reason {reason}" if reason in _GOOD_REASONS else "another finish reason"
        return upstream_failure(f"the model gave no text: {said} ({ended})", f"no text, {known if reason else ended}")


def _is_first(choice: object) -> bool:
    """Whether a choice is the one that was asked for: others are other answers."""
    return isinstance(choice, dict) and not choice.get("index")


def _text_of(content: object) -> str:
    """A delta's text; Mistral's may come as a list of parts, besides those of its reasoning."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))

"""An answer's events as a chat completion: whole, or in chunks."""

import json
import time
from typing import Any

from deployments.gateway.services import Event
from domain.errors import AppError, error_of

_FINISH = {"completed": "stop", "stopped": "stop", "interrupted": "length"}
"""By the turn's state; an answer that a check refused has `content_filter`."""


class Completion:
    """Collects the events of one turn. `citations` stand beside the choices: the API has no place for them.

    Where only JSON was asked for, words of the chatbot's own, as that the documents have no answer, are a refusal.
    """

    def __init__(self, model: str, ack: Event, *, json_only: bool = False) -> None:
        self.text = ""
        self._json_only = json_only
        self._id = f"chatcmpl-{ack['turn']}"
        self._model = model
        self._created = int(time.time())
        self._citations: list[Any] = []
        self._done: Event | None = None

    def take(self, event: Event) -> str:
        """The text that it adds. Raises the AppError that ended the turn."""
        match event["k"]:
            case "token" | "gap":
                # A gap holds the answer from its beginning.
                new = event["text"] if event["k"] == "token" else event["text"][len(self.text) :]
                self.text += new
                return str(new)
            case "citations":
                self._citations = event["citations"]
            case "done":
                self._done = event
            case "error":
                raise error_of(event["code"], event["message"])
        return ""

    @property
    def done(self) -> bool:
        return self._done is not None

    def whole(self) -> dict[str, Any]:
        """The `chat.completion` object, once it is `done`."""
        said = {"content": None, "refusal": self.text} if self._refused else {"content": self.text, "refusal": None}
        message = {"role": "assistant", **said}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason}
        return self._object("chat.completion", [choice], usage=self._usage, citations=self._citations)

    def chunk(self, **delta: str) -> str:
        return self._record([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def text_chunk(self, text: str) -> str:
        return self.chunk(refusal=text) if self._refused else self.chunk(content=text)

    def last_chunk(self) -> str:
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": self._finish_reason}
        return self._record([choice], citations=self._citations)

    def usage_chunk(self) -> str:
        return self._record([], usage=self._usage)

    @property
    def _refused(self) -> bool:
        return self._json_only and self.text.lstrip()[:1] not in ("", "{")

    @property
    def _finish_reason(self) -> str:
        assert self._done is not None
        if self._done.get("guard") == "blocked":
            return "content_filter"
        if self._json_only and not self._refused and not _is_json(self.text):
            return "length"
        return _FINISH.get(self._done["state"], "stop")

    @property
    def _usage(self) -> dict[str, Any]:
        assert self._done is not None
        prompt, completion, cached = self._done["usage"]
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    def _record(self, choices: list[dict[str, Any]], **more: Any) -> str:
        return record(self._object("chat.completion.chunk", choices, **more))

    def _object(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "choices": choices,
            **more,
        }


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def record(data: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def error_record(error: AppError, request_id: str) -> str:
    """What client libraries raise in the middle of a stream."""
    return record({"error": {"code": error.code, "message": error.message, "request_id": request_id}})

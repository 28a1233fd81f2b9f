"""The JSON shapes of the OpenAI API, as far as a chatbot is one of its models. Source: the OpenAI API reference."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.chatbot import Text
from domain.given_history import Said

MAX_MESSAGES = 1_000
MAX_INPUTS = 256
MAX_INPUT_CHARS = 32_000
_UNSUPPORTED = ("tools", "functions", "tool_choice", "function_call", "audio", "prediction", "web_search_options")


class _Lenient(BaseModel):
    """Clients send more than anybody reads: what has no meaning here is left aside."""

    model_config = ConfigDict(extra="ignore")


class TextPart(_Lenient):
    type: Literal["text"]
    text: Text


class ChatMessage(_Lenient):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=MAX_MESSAGES)]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(_Lenient):
    include_usage: bool = False


class ChatBody(_Lenient):
    """A chatbot's configuration decides on its instructions, model and sampling: what a request says of them is left
    aside, system messages too. What would change the shape of the answer is refused."""

    model: Annotated[str, Field(max_length=200, description="The id of a chatbot.")]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: Annotated[Text, Field(max_length=200)] = ""
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    response_format: "TextFormat | None" = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in _UNSUPPORTED:
                if data.get(name) not in (None, [], "none"):
                    raise ValueError(f"chatbots do not take `{name}`")
        return data

    @property
    def said(self) -> list[Said]:
        return [(one.role, one.text) for one in self.messages if one.role in ("user", "assistant")]

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class TextFormat(_Lenient):
    type: Literal["text"]


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


_Input = Annotated[Text, AfterValidator(_not_empty), Field(max_length=MAX_INPUT_CHARS)]


class EmbeddingsBody(_Lenient):
    model: Annotated[str, Field(max_length=200, description="The id of a chatbot.")]
    input: _Input | Annotated[list[_Input], Field(min_length=1, max_length=MAX_INPUTS)]
    encoding_format: Literal["float", "base64"] = "float"

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    name: str


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


ChatBody.model_rebuild()

"""The JSON shapes of the OpenAI API, as far as a chatbot is one of its models. Source: the OpenAI API reference."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.answer_form import AnswerForm, form_of
from domain.chatbot import Text
from domain.errors import InvalidInput
from domain.given_history import Said

MAX_MESSAGES = 1_000
MAX_INPUTS = 256
MAX_INPUT_CHARS = 32_000
_UNSUPPORTED = ("audio", "prediction", "web_search_options")
NO_TOOLS = "A chatbot answers by itself, from its documents: it does not call tools or functions of a client."
_TOOLS = ("tools", "functions", "tool_choice", "function_call")


class _Lenient(BaseModel):
    """Clients send more than anybody reads: what has no meaning here is left aside."""

    model_config = ConfigDict(extra="ignore")


class TextPart(_Lenient):
    type: Literal["text"]
    text: Text


class ChatMessage(_Lenient):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=MAX_MESSAGES)] | None = None
    refusal: Text | None = None
    """What the assistant said in place of content."""

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or self.refusal or ""


class StreamOptions(_Lenient):
    include_usage: bool = False


class TextFormat(_Lenient):
    type: Literal["text"]

    @property
    def form(self) -> None:
        return None


class JsonFormat(_Lenient):
    type: Literal["json_object"]

    @property
    def form(self) -> AnswerForm:
        return form_of()


class NamedSchema(_Lenient):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class SchemaFormat(_Lenient):
    type: Literal["json_schema"]
    json_schema: NamedSchema

    @property
    def form(self) -> AnswerForm:
        """Raises InvalidInput."""
        named = self.json_schema
        return form_of(named.schema_, named.name, named.strict)


class ChatBody(_Lenient):
    """A chatbot's configuration decides on its instructions, model and sampling: what a request says of them is left
    aside, system messages too. A JSON answer can be asked for; what else would change its shape is refused."""

    model: Annotated[str, Field(max_length=200, description="The id of a chatbot.")]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: Annotated[Text, Field(max_length=200)] = ""
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    response_format: Annotated[TextFormat | JsonFormat | SchemaFormat, Field(discriminator="type")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, data: Any) -> Any:
        """Raises InvalidInput for tools, which is not about a field but about what a chatbot is."""
        if isinstance(data, dict):
            for name in _UNSUPPORTED:
                if data.get(name) not in (None, []):
                    raise ValueError(f"chatbots do not take `{name}`")
            for name in _TOOLS:
                # `auto` without tools is what some libraries send always.
                if data.get(name) not in (None, [], "none", "auto"):
                    raise InvalidInput(NO_TOOLS)
        return data

    @property
    def form(self) -> AnswerForm | None:
        """Raises InvalidInput for a schema that cannot be used."""
        return None if self.response_format is None else self.response_format.form

    @property
    def said(self) -> list[Said]:
        return [(one.role, one.text) for one in self.messages if one.role in ("user", "assistant")]

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


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

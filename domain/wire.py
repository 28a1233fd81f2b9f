"""The chat protocol's frames, as JSON on the WebSocket; docs/protocol.schema.json is generated from here."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from domain.conversation import MAX_MESSAGE_CHARS
from domain.text import clean_text

MAX_FRAME_BYTES = 128 * 1024


class Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Resume(Frame):
    """Where a reconnecting client stands: it has every event of `turn_id` up to `seq`, the last one of `epoch`."""

    turn_id: UUID
    seq: int = Field(ge=0)
    epoch: int | None = Field(None, ge=0)
    """Left out by a client that has no event of the turn yet."""


class AuthFrame(Frame):
    """Must be the first frame, within the deadline; `token` is an access token, an API key or a visitor's token."""

    type: Literal["auth"]
    token: str = Field(min_length=1, max_length=8_192)
    resume: Resume | None = None


class MessageFrame(Frame):
    """A question. `id` is chosen by the client: sending it again never makes a second turn."""

    type: Literal["message"]
    id: UUID
    text: Annotated[str, AfterValidator(clean_text)] = Field(min_length=1, max_length=MAX_MESSAGE_CHARS)
    edits: UUID | None = None
    """An earlier message of the user in this session; the question begins a branch in its place."""


class RegenerateFrame(Frame):
    """Answer the question of a turn again, in a branch beside it. `id` works as in a message."""

    type: Literal["regenerate"]
    id: UUID
    turn_id: UUID


class StopFrame(Frame):
    """End the running turn; what was streamed is kept."""

    type: Literal["stop"]
    turn_id: UUID | None = None


class DeliveredFrame(Frame):
    """The receipt of an answer: the client has shown this message and every earlier one of the session."""

    type: Literal["delivered"]
    message_id: UUID


class PingFrame(Frame):
    type: Literal["ping"]
    nonce: str = Field("", max_length=64)


ClientFrame = Annotated[
    AuthFrame | MessageFrame | RegenerateFrame | StopFrame | DeliveredFrame | PingFrame, Field(discriminator="type")
]


class ActiveTurn(Frame):
    turn_id: UUID
    epoch: int
    seq: int
    """The last event that exists so far."""


class Undelivered(Frame):
    """An answer that ended while nobody took it; `resume` or the list of messages has it."""

    turn_id: UUID
    message_id: UUID


class ConsentModel(BaseModel):
    """A version of the tenant's privacy policy."""

    policy_url: str
    policy_version: str


class ReadyFrame(Frame):
    """Authentication succeeded; the socket takes messages now."""

    type: Literal["ready"] = "ready"
    session_id: UUID
    chatbot_id: UUID
    chatbot_name: str
    greeting: str
    active_turn: ActiveTurn | None = None
    undelivered: list[Undelivered] = []
    """Oldest first, at most 20."""
    consent: ConsentModel | None = None
    """What the visitor has to agree to before a message is taken; None when nothing stands against it."""


class AckFrame(Frame):
    """The user message is committed. `duplicate` when this id had been committed before."""

    type: Literal["ack"] = "ack"
    id: str
    message_id: UUID
    turn_id: UUID
    duplicate: bool = False


class TurnFrame(Frame):
    turn_id: UUID
    epoch: int
    """Grows when another process takes the turn over; the numbers go on."""
    seq: int
    """1, 2, 3 … without gaps within a turn."""


class StatusFrame(TurnFrame):
    type: Literal["status"] = "status"
    stage: Literal["queued", "retrieving", "starting", "generating"]
    position: int | None = None
    """While `queued`: the turn's place in the queue of its tenant, or of the engine, 1 is next; null when unknown."""


class TokenFrame(TurnFrame):
    """Text to append. Where the reader is slow, one frame stands for the events `first_seq` to `seq`."""

    type: Literal["token"] = "token"
    first_seq: int | None = None
    """Left out or null when the frame is the one event `seq`."""
    text: str


class GapFrame(TurnFrame):
    """The events up to `seq` are kept no longer; `text` is the whole answer so far in their place."""

    type: Literal["gap"] = "gap"
    text: str


class CitationModel(Frame):
    position: int
    document_id: UUID
    document_name: str
    page: int | None
    section: str | None
    start: int
    end: int
    snippet: str


class CitationsFrame(TurnFrame):
    type: Literal["citations"] = "citations"
    citations: list[CitationModel]


class UsageModel(Frame):
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_tokens: int


class DoneFrame(TurnFrame):
    """The turn ended and the assistant message is committed; `usage` is what was billed.

    An `interrupted` answer was cut short by a failure: what was streamed is kept.
    """

    type: Literal["done"] = "done"
    message_id: UUID
    state: Literal["completed", "stopped", "interrupted"]
    model: str
    usage: UsageModel
    guard: Literal["flagged", "redacted", "blocked"] | None = None
    """What the bot's checks did: refused, took something out, or put the message before a person."""
    cached: Literal["exact", "semantic"] | None = None
    """How the answer was found that had been kept from an earlier question; null for one that was made for this."""


class ErrorFrame(Frame):
    """Something went wrong; the socket stays open. `id` or `turn_id` say what it is about."""

    type: Literal["error"] = "error"
    code: str
    message: str
    request_id: str
    id: str | None = None
    turn_id: UUID | None = None
    epoch: int | None = None
    seq: int | None = None
    retry_after: float | None = None


class ReconnectFrame(Frame):
    """This socket is about to close with 1012: open another one now, spread over `within_seconds`, and resume."""

    type: Literal["reconnect"] = "reconnect"
    within_seconds: float


class PongFrame(Frame):
    type: Literal["pong"] = "pong"
    nonce: str


ServerFrame = Annotated[
    ReadyFrame
    | AckFrame
    | StatusFrame
    | TokenFrame
    | GapFrame
    | CitationsFrame
    | DoneFrame
    | ErrorFrame
    | ReconnectFrame
    | PongFrame,
    Field(discriminator="type"),
]

client_frame: TypeAdapter[ClientFrame] = TypeAdapter(ClientFrame)
server_frame: TypeAdapter[ServerFrame] = TypeAdapter(ServerFrame)

"""`/v1/models` and `/v1/chat/completions`: a chatbot answers with its documents, its rules and its budget."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any
from uuid import UUID, uuid4

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from redis.exceptions import RedisError

from deployments.gateway.answer_stream import acknowledged
from deployments.gateway.openai_api.completion import Completion, error_record
from deployments.gateway.openai_api.models import ChatBody, Model, ModelList
from deployments.gateway.principal import RequestId, require
from deployments.gateway.services import Event, GatewayServices, Services
from domain.chatbot import Chatbot
from domain.conversation import MAX_MESSAGE_CHARS, Question
from domain.errors import AppError, NotFound, TooLarge
from domain.given_history import GivenHistory, fingerprint, history_of
from domain.ids import ChatbotId, SessionId, TenantId, TurnId
from domain.permissions import Permission
from domain.prompting.audience import locale_of
from domain.tenancy import Principal
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.given_history import add_exchanges
from storage.postgres.sessions import Sessions
from storage.redis.continuations import Continuations

log = structlog.get_logger()
router = APIRouter(tags=["openai"], prefix="/v1")

Reader = Annotated[Principal, require(Permission.CHATBOTS_READ)]
Asker = Annotated[Principal, require(Permission.CONVERSATIONS_REPLY)]

_KEEP_ALIVE_SECONDS = 15.0
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}, "application/json": {}}, "description": "A completion, or its chunks."}
}


@router.get("/models")
async def list_models(services: Services, principal: Reader) -> ModelList:
    """Every chatbot is a model, named by its id."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        found = await Chatbots(tx).list_all(principal.tenant_id)
    return ModelList(data=[_model(chatbot) for chatbot in found])


@router.get("/models/{chatbot_id}")
async def get_model(chatbot_id: str, services: Services, principal: Reader) -> Model:
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        return _model(await Chatbots(tx).get(principal.tenant_id, chatbot_of(chatbot_id)))


@router.post("/chat/completions", responses=_STREAM, response_model=None)
async def complete(
    body: ChatBody, request: Request, services: Services, principal: Asker, request_id: RequestId
) -> Response:
    """Answer the last message, remembering those before it. A client that leaves a stream stops the answer."""
    bot, form = chatbot_of(body.model), body.form
    history = history_of(body.said)
    if len(history.question) > MAX_MESSAGE_CHARS:
        raise TooLarge(f"A question has at most {MAX_MESSAGE_CHARS:,} characters.")
    chat = _Chat(services, principal.tenant_id, bot, body.user, history)
    session_id = await chat.session()
    locale = locale_of(request.headers.get("accept-language", ""))
    question = Question(str(uuid4()), history.question, locale=locale, form=form)
    events = services.conversations.submit(principal.tenant_id, session_id, question, request_id)
    ack = await acknowledged(events)
    structlog.contextvars.bind_contextvars(turn_id=ack["turn"])
    completion = Completion(body.model, ack, json_only=form is not None)
    answer = chat.answer(session_id, ack, events, completion)
    if body.stream:
        return StreamingResponse(
            _chunks(answer, completion, body.wants_usage, request_id),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    async with aclosing(answer):
        async for _ in answer:
            pass
    return JSONResponse(completion.whole())


def chatbot_of(model: str) -> ChatbotId:
    """Raises NotFound."""
    try:
        return ChatbotId(UUID(model))
    except ValueError:
        raise NotFound("There is no such model; models are the ids of chatbots.") from None


class _Chat:
    """One question of a conversation that the caller keeps."""

    def __init__(
        self, services: GatewayServices, tenant_id: TenantId, bot: ChatbotId, user: str, history: GivenHistory
    ) -> None:
        self._services = services
        self._tenant = tenant_id
        self._bot = bot
        self._user = fingerprint([("user", user)])
        self._history = history
        self._continuations = Continuations(services.redis)

    async def session(self) -> SessionId:
        """The session in which what came before was said; one that begins with it where there is none."""
        if self._history.earlier:
            known: SessionId | None = None
            with suppress(RedisError, OSError):
                known = await self._continuations.take(self._tenant, self._bot, self._user, self._mark())
            if known is not None:
                async with tenant_tx(self._services.db, self._tenant) as tx:
                    with suppress(NotFound):
                        return (await Sessions(tx).get(self._tenant, known, self._bot)).id
        async with tenant_tx(self._services.db, self._tenant) as tx:
            # A bot that is not there, or another tenant's, cannot have a session: NotFound.
            session = await Sessions(tx).insert(self._tenant, self._bot, "")
            if self._history.exchanges:
                await add_exchanges(tx, self._tenant, session.id, self._history.exchanges)
        return session.id

    async def answer(
        self, session_id: SessionId, ack: Event, events: AsyncGenerator[Event, None], completion: Completion
    ) -> AsyncGenerator[str, None]:
        """Its text as it comes; left before its end, it is stopped. Raises AppError."""
        try:
            async with aclosing(events):
                async for event in events:
                    if text := completion.take(event):
                        yield text
                    if completion.done:
                        break
        finally:
            if not completion.done:
                with suppress(AppError):
                    await self._services.conversations.stop(self._tenant, session_id, TurnId(UUID(ack["turn"])))
        # Without it the next question begins another session with the same past.
        with suppress(RedisError, OSError):
            await self._continuations.keep(self._tenant, self._bot, self._user, self._mark(completion.text), session_id)

    def _mark(self, answer: str | None = None) -> str:
        more = [] if answer is None else [("user", self._history.question), ("assistant", answer)]
        return fingerprint([*self._history.earlier, *more])


async def _chunks(
    answer: AsyncGenerator[str, None], completion: Completion, usage: bool, request_id: str
) -> AsyncGenerator[str, None]:
    waiting = asyncio.ensure_future(anext(answer, None))
    try:
        yield completion.chunk(role="assistant", content="")
        while True:
            done, _ = await asyncio.wait((waiting,), timeout=_KEEP_ALIVE_SECONDS)
            if not done:
                yield ": still here\n\n"
                continue
            text = waiting.result()
            if text is None:
                break
            yield completion.text_chunk(text)
            waiting = asyncio.ensure_future(anext(answer, None))
        yield completion.last_chunk()
        if usage:
            yield completion.usage_chunk()
        yield "data: [DONE]\n\n"
    except AppError as error:
        yield error_record(error, request_id)
    except Exception:
        log.exception("completion.failed")
        yield error_record(AppError(), request_id)
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError, AppError):
            await waiting
        await answer.aclose()


def _model(chatbot: Chatbot) -> Model:
    return Model(
        id=str(chatbot.id),
        created=int(chatbot.created_at.timestamp()),
        owned_by=str(chatbot.tenant_id),
        name=chatbot.name,
    )

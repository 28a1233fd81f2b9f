"""The Python client of the chat protocol."""

from cluster.client.answer import Answer, AnswerResult, ChatError
from cluster.client.backoff import Backoff
from cluster.client.chat import ChatClient
from cluster.client.turn_view import ProtocolViolation, TurnView

__all__ = ["Answer", "AnswerResult", "Backoff", "ChatClient", "ChatError", "ProtocolViolation", "TurnView"]

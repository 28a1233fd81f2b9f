"""What the platform's answers mean to a command."""

from typing import Any

import httpx

from cluster.embedded.process import SetupError


def checked(answer: httpx.Response) -> dict[str, Any]:
    """The body. Raises SetupError with the platform's own sentence when it refused."""
    if answer.is_error:
        raise SetupError(f"The platform refused: {sentence_of(answer)}")
    body: dict[str, Any] = answer.json()
    return body


def sentence_of(answer: httpx.Response) -> str:
    """Why it refused."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"

"""A moderation service with OpenAI's `POST /moderations`, asked over HTTP."""

from typing import Any

import httpx

from domain.errors import Unavailable

MAX_CHARS = 32_000
"""What is sent of one text; longer ones are asked about in parts."""
MAX_ANSWER_BYTES = 1024 * 1024


class ModerationApi:
    """Source: https://platform.openai.com/docs/api-reference/moderations"""

    def __init__(self, http: httpx.AsyncClient, base_url: str, key: str, model: str) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}/moderations"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._model = model

    async def score(self, text: str) -> float:
        """The highest category score, at least 1.0 when the service flags the text. Raises Unavailable."""
        if not text.strip():
            return 0.0
        parts = [text[at : at + MAX_CHARS] for at in range(0, len(text), MAX_CHARS)]
        try:
            answer = await self._http.post(
                self._url, headers=self._headers, json={"model": self._model, "input": parts}
            )
            if answer.status_code != 200 or len(answer.content) > MAX_ANSWER_BYTES:
                raise Unavailable(f"The moderation service answered {answer.status_code}.")
            results = answer.json()["results"]
            if len(results) != len(parts):
                raise Unavailable("The moderation service left a part out.")
            return max(map(_score, results))
        except (httpx.HTTPError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable("The moderation service did not answer.") from error


def _score(result: dict[str, Any]) -> float:
    if result["flagged"] is True:
        return 1.0
    scores = [float(value) for value in result.get("category_scores", {}).values()]
    return min(1.0, max(0.0, *scores)) if scores else 0.0

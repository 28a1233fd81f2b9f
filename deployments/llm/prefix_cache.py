"""How much of its prompts an engine had computed before, by its own counts."""

from dataclasses import dataclass

from domain.generation import Usage


@dataclass(slots=True)
class PrefixCache:
    """Since the replica started."""

    prompt_tokens: int = 0
    cached_tokens: int = 0

    def count(self, usage: Usage) -> None:
        self.prompt_tokens += usage.prompt_tokens
        self.cached_tokens += usage.cached_tokens

    def info(self) -> dict[str, int]:
        """For the announcement: `cached_tokens` of `prompt_tokens`; nothing before the first answer."""
        if not self.prompt_tokens:
            return {}
        return {"prompt_tokens": self.prompt_tokens, "cached_tokens": self.cached_tokens}

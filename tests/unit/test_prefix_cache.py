"""What an engine announces of its prefix cache: sums over its answers."""

from deployments.llm.prefix_cache import PrefixCache
from domain.generation import Usage


def test_prompts_and_what_was_cached_of_them_are_summed() -> None:
    prefixes = PrefixCache()
    assert prefixes.info() == {}
    prefixes.count(Usage(100, 20, 0))
    prefixes.count(Usage(120, 20, 96))
    assert prefixes.info() == {"prompt_tokens": 220, "cached_tokens": 96}

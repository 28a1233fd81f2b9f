"""How many tokens a model's own chat template adds to messages, measured by rendering it."""

import json
from collections.abc import Callable
from pathlib import Path

import structlog
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.prompt import REPLY_OVERHEAD

log = structlog.get_logger(__name__)

_SAID = "x"
_PAIR = ({"role": "user", "content": _SAID}, {"role": "assistant", "content": _SAID})
_SHORT = [{"role": "system", "content": _SAID}, _PAIR[0]]
"""The fewest messages that a prompt has."""


def template_tokens(folder: Path, count: Callable[[str], int]) -> int:
    """For each message, at most, beside REPLY_OVERHEAD once; 0 where the folder has no template that renders.

    `count` says the tokens of a text, control tokens as such.
    """
    try:
        source = _template_of(folder)
        if source is None:
            return 0
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["strftime_now"] = lambda _: "01 Jan 2026"
        environment.globals["raise_exception"] = _refuse
        template = environment.from_string(source)
        short, long = (
            count(template.render(messages=messages, add_generation_prompt=True, **_control_texts(folder)))
            - len(messages) * count(_SAID)
            for messages in (_SHORT, [*_SHORT, *reversed(_PAIR)])
        )
    except (OSError, ValueError, TypeError, TemplateError) as error:
        log.warning("chat_template.not_measured", folder=folder.name, error=type(error).__name__)
        return 0
    each = -(-(long - short) // 2)
    once = short - len(_SHORT) * each
    return max(0, each + -(-max(0, once - REPLY_OVERHEAD) // len(_SHORT)))


def _template_of(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text("utf-8")
    template = _config_of(folder).get("chat_template")
    if isinstance(template, list):
        # Several by name; the engine uses this one.
        template = next((one.get("template") for one in template if one.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _control_texts(folder: Path) -> dict[str, str]:
    """`bos_token` and `eos_token`, which templates write."""
    config, found = _config_of(folder), {}
    for name in ("bos_token", "eos_token"):
        value = config.get(name) or ""
        found[name] = str(value.get("content", "")) if isinstance(value, dict) else str(value)
    return found


def _config_of(folder: Path) -> dict[str, object]:
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return config if isinstance(config, dict) else {}


def _refuse(message: str) -> None:
    raise TemplateError(message)

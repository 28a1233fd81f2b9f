"""The checks of an answer while it streams: what comes out has passed them and is never taken back."""

from dataclasses import dataclass

from domain.guarding.chain import REFUSAL, SECRETS, GuardChain
from domain.guarding.checks import SpanCheck
from domain.guarding.configuration import CheckSetting
from domain.guarding.leakage import LeakMeter
from domain.guarding.link_filter import LinkFilter
from domain.guarding.redaction import Redactor, found_by
from domain.guarding.report import GuardNote

TAIL_CHARS = 240
"""How far back the rules look when new text comes: longer than any span that a rule describes."""


@dataclass(slots=True)
class _Spans:
    """A check that finds parts of the answer; `redactor` where they may not be shown."""

    name: str
    setting: CheckSetting
    check: SpanCheck
    redactor: Redactor | None


class OutputGuard:
    """Links first, then secrets and personal data, then the checks that look at what would be shown.

    After a refusal nothing more comes out: the caller shows `refusal` and stops.
    """

    def __init__(self, chain: GuardChain, instructions: str) -> None:
        self._chain = chain
        self._settings = settings = chain.config.output
        self._links = LinkFilter(chain.config.allowed_link_hosts)
        self._leak = LeakMeter(instructions) if settings.prompt_leak.action != "off" else None
        self._spans: list[_Spans] = []
        self._whole = settings.moderation_api.action == "block"
        """Whether nothing may be shown before all is known."""
        self._shown = ""
        self._noted = False
        self.refusal: str | None = None
        self._add("secrets", settings.secrets, SECRETS)
        if settings.personal_data.action != "off":
            self._add("personal_data", settings.personal_data, chain.checks.personal_data(chain.config))

    def _add(self, name: str, setting: CheckSetting, check: SpanCheck | None) -> None:
        if setting.action == "off":
            return
        if check is None:
            self._refuse(self._chain.failed("output", name, setting, "NotConfigured"))
            return
        held = setting.action in ("redact", "block")
        self._spans.append(_Spans(name, setting, check, Redactor(check) if held else None))

    def feed(self, text: str) -> str:
        """What can be shown by now; look at `refusal` afterwards."""
        return "" if self.refusal is not None else self._pass(self._redacted(self._links.feed(text), finish=False))

    async def finish(self) -> str:
        """The rest. Text that was held for a check of the whole answer comes now, or never."""
        if self.refusal is not None:
            return ""
        shown = self._pass(self._redacted(self._links.finish(), finish=True))
        if self.refusal is None and self._leak is not None:
            self._refuse(self._leaked(self._leak.finish()))
        if self.refusal is None:
            self._look_back()
        if self.refusal is None:
            self._refuse(await self._chain.asked("output", self._shown, self._settings.moderation_api))
        self.close()
        if self.refusal is not None:
            return ""
        return self._shown if self._whole else shown

    def close(self) -> None:
        """Write down what was taken out; harmless when it was."""
        if self._noted:
            return
        self._noted = True
        if self._links.removed:
            self._chain.report.add(GuardNote("output", "links", "redacted", count=self._links.removed))
        for spans in self._spans:
            if spans.redactor is not None and spans.redactor.found:
                self._chain.note("output", spans.name, spans.setting.action, count=spans.redactor.found)

    def _redacted(self, text: str, finish: bool) -> str:
        for spans in self._spans:
            if spans.redactor is None:
                continue
            try:
                text = spans.redactor.feed(text) + (spans.redactor.finish() if finish else "")
            except Exception as error:  # noqa: BLE001 - whatever a check does, its setting decides
                self._refuse(self._chain.failed("output", spans.name, spans.setting, type(error).__name__))
                # Open: what it held is shown, and it is not asked again.
                text, spans.redactor = spans.redactor.held, None
                continue
            if spans.redactor.found and spans.setting.action == "block":
                self._refuse(REFUSAL)
        return text

    def _pass(self, text: str) -> str:
        """The text, when the checks that look at it let it."""
        if not text or self.refusal is not None:
            return ""
        if self._settings.rules.action == "block":
            self._refuse(self._chain.rules("output", self._shown[-TAIL_CHARS:] + text, self._settings.rules))
        if self._leak is not None:
            score = self._leak.feed(text)
            if self._settings.prompt_leak.action == "block":
                self._refuse(self._leaked(score))
        if self.refusal is not None:
            return ""
        self._shown += text
        return "" if self._whole else text

    def _leaked(self, score: float) -> str | None:
        return self._chain.scored("output", "prompt_leak", self._settings.prompt_leak, lambda: score)

    def _look_back(self) -> None:
        """Checks that only write down or flag look at the whole answer once."""
        if self._settings.rules.action in ("note", "flag"):
            self._chain.rules("output", self._shown, self._settings.rules)
        for spans in self._spans:
            if spans.setting.action in ("note", "flag"):
                self._look(spans)

    def _look(self, spans: _Spans) -> None:
        try:
            found = found_by([spans.check], self._shown)
        except Exception as error:  # noqa: BLE001 - whatever a check does, its setting decides
            self._refuse(self._chain.failed("output", spans.name, spans.setting, type(error).__name__))
            return
        if found:
            self._chain.note("output", spans.name, spans.setting.action, count=len(found))

    def _refuse(self, refusal: str | None) -> None:
        if refusal is not None and self.refusal is None:
            self.refusal = refusal

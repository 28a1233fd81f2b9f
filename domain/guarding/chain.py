"""Runs the checks of one turn as the bot's configuration says, and writes down what they find."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from domain.documents import Passage
from domain.errors import AppError
from domain.guarding.checks import Checks, RemoteCheck, SpanCheck
from domain.guarding.configuration import Action, CheckSetting, GuardrailsConfig
from domain.guarding.credentials import Credentials
from domain.guarding.injection import injection_score
from domain.guarding.redaction import found_by, redacted
from domain.guarding.report import GuardNote, GuardReport, Outcome, Place

REFUSAL = "I cannot help with that."
UNCHECKED = "This could not be checked, so it is not answered; try again later."
_OUTCOMES: dict[Action, Outcome] = {"note": "noted", "flag": "flagged", "redact": "redacted", "block": "blocked"}
SECRETS = Credentials()


class GuardChain:
    """`report` gets a note for whatever a check found, and for every check that failed or was late."""

    def __init__(self, config: GuardrailsConfig, checks: Checks, report: GuardReport) -> None:
        self.config = config
        self.checks = checks
        self.report = report
        if report.count is None:
            report.count = checks.count

    async def input(self, text: str) -> tuple[str, str | None]:
        """The question as the model may see it, and the refusal if it may not."""
        settings = self.config.input
        if refusal := self.rules("input", text, settings.rules):
            return text, refusal
        if refusal := self.scored("input", "injection", settings.injection, lambda: injection_score(text)):
            return text, refusal
        text, refusal = self.personal_data_of_input(text)
        return text, refusal or await self.asked("input", text, settings.moderation_api)

    def personal_data_of_input(self, text: str) -> tuple[str, str | None]:
        setting = self.config.input.personal_data
        if setting.action == "off":
            return text, None
        check = self.checks.personal_data(self.config)
        if check is None:
            return text, self.failed("input", "personal_data", setting, "NotConfigured")
        return self.spans("input", "personal_data", setting, check, text)

    def spans(
        self, place: Place, name: str, setting: CheckSetting, check: SpanCheck, text: str
    ) -> tuple[str, str | None]:
        """The text after a check that finds parts of it, and the refusal."""
        begun = time.monotonic()
        try:
            found = found_by([check], text)
        except Exception as error:  # noqa: BLE001 - whatever a check does, its setting decides
            return text, self.failed(place, name, setting, type(error).__name__)
        self.timed(place, name, setting, begun)
        if not found:
            return text, None
        self.note(place, name, setting.action, count=len(found))
        if setting.action == "redact":
            return redacted(text, found), None
        return text, REFUSAL if setting.action == "block" else None

    def passages(self, passages: Sequence[Passage]) -> list[Passage]:
        """Those that the model may see. A closed check that fails drops its passage."""
        setting = self.config.retrieved.injection
        if setting.action == "off":
            return list(passages)
        kept, dropped, best = [], 0, 0.0
        for passage in passages:
            begun = time.monotonic()
            try:
                score = injection_score(passage.text)
            except Exception as error:  # noqa: BLE001 - whatever a check does, its setting decides
                if self.failed("retrieved", "injection", setting, type(error).__name__) is None:
                    kept.append(passage)
                continue
            self.timed("retrieved", "injection", setting, begun)
            found = score >= setting.threshold
            if found:
                dropped, best = dropped + 1, max(best, score)
            if not (found and setting.action == "block"):
                kept.append(passage)
        if dropped:
            note = GuardNote("retrieved", "injection", _OUTCOMES[setting.action], round(best, 3), dropped)
            self.report.add(replace(note, outcome="dropped") if setting.action == "block" else note)
        return kept

    def rules(self, place: Place, text: str, setting: CheckSetting) -> str | None:
        """The refusal of what the rules find, where they block."""
        if setting.action == "off":
            return None
        begun = time.monotonic()
        try:
            refusal = self.checks.rules.check(text, self.config.blocked_terms)
        except Exception as error:  # noqa: BLE001 - whatever a check does, its setting decides
            return self.failed(place, "rules", setting, type(error).__name__)
        self.timed(place, "rules", setting, begun)
        if refusal is None:
            return None
        self.note(place, "rules", setting.action)
        return refusal if setting.action == "block" else None

    def scored(self, place: Place, name: str, setting: CheckSetting, score: Callable[[], float]) -> str | None:
        if setting.action == "off":
            return None
        begun = time.monotonic()
        try:
            value = score()
        except Exception as error:  # noqa: BLE001 - whatever a check does, its setting decides
            return self.failed(place, name, setting, type(error).__name__)
        self.timed(place, name, setting, begun)
        if value < setting.threshold:
            return None
        self.note(place, name, setting.action, round(value, 3))
        return REFUSAL if setting.action == "block" else None

    async def asked(self, place: Place, text: str, setting: CheckSetting) -> str | None:
        """The refusal of the moderation API, where it blocks."""
        name = "moderation_api"
        if setting.action == "off":
            return None
        check: RemoteCheck | None = self.checks.moderation_api
        if check is None:
            return self.failed(place, name, setting, "NotConfigured")
        try:
            async with asyncio.timeout(setting.timeout_ms / 1000):
                value = await check.score(text)
        except (AppError, TimeoutError) as error:
            return self.failed(place, name, setting, type(error).__name__)
        return self.scored(place, name, setting, lambda: value)

    def note(self, place: Place, name: str, action: Action, score: float = 1.0, count: int = 1) -> None:
        self.report.add(GuardNote(place, name, _OUTCOMES[action], score, count))

    def timed(self, place: Place, name: str, setting: CheckSetting, begun: float) -> None:
        """A check that computes cannot be cut off; what it found counts, and that it was late is written down."""
        if time.monotonic() - begun > setting.timeout_ms / 1000:
            self.report.add(GuardNote(place, name, "late", failure="TimeoutError"))

    def failed(self, place: Place, name: str, setting: CheckSetting, failure: str) -> str | None:
        """Write it down; the refusal when the setting is closed."""
        self.report.add(GuardNote(place, name, "failed", failure=failure))
        if setting.on_failure == "open":
            return None
        self.report.add(GuardNote(place, name, "blocked", failure=failure))
        return UNCHECKED

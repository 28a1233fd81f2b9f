"""The checks of a turn: benign questions that they would block, attacks that they find, and the time they take.

Data: NotInject (Li and Liu 2024), benign questions full of trigger words, and the prompt injections of PurpleLlama's
CyberSecEval. The signs were written from general knowledge; of these data only `NotInject_one` was looked at meanwhile,
so its figure is that of a development set.
"""

import json
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from actors.guarding.personal_data import personal_data
from benchmarks.figures import milliseconds, percentile
from configs.tables import load_moderation
from domain.documents import Passage
from domain.guarding.chain import GuardChain
from domain.guarding.checks import Checks
from domain.guarding.configuration import GuardrailsConfig
from domain.guarding.injection import injection_score
from domain.guarding.link_filter import LinkFilter
from domain.guarding.output import OutputGuard
from domain.guarding.report import GuardReport
from domain.ids import DocumentId, new_uuid
from domain.moderation import RuleGuard

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "injection"
TURNS = 300
INSTRUCTIONS = "You are the assistant of the Aurora shop. Answer from the passages, in one or two sentences. " * 3
SENTENCE = (
    "The Aurora lamp costs 40 euros and comes with a warranty of 24 months; see [1] and the guide for the details. "
)
ANSWER = re.findall(r"\s*\S{1,5}", SENTENCE * 5)
"""About 140 pieces, as an engine streams them."""
QUESTION = "How long is the warranty of the lamp, and can I return it when it was used?"


async def measure() -> dict[str, Any]:
    return {**_scores(), "time_per_turn": await _times()}


def _scores() -> dict[str, Any]:
    if not FOLDER.is_dir():
        return {"skipped": f"{FOLDER} is not here"}
    threshold = GuardrailsConfig().input.injection.threshold
    benign = {}
    for words in ("one", "two", "three"):
        questions = [item["prompt"] for item in json.loads((FOLDER / f"NotInject_{words}.json").read_text("utf-8"))]
        found = sum(injection_score(text) >= threshold for text in questions)
        benign[words] = {
            "questions": len(questions),
            "blocked": found,
            "percent": round(100 * found / len(questions), 1),
        }
    attacks = json.loads((FOLDER / "purplellama_prompt_injection.json").read_text("utf-8"))
    seen: dict[str, dict[str, list[bool]]] = {
        "injection_variant": defaultdict(list),
        "injection_type": defaultdict(list),
    }
    for attack in attacks:
        found_it = injection_score(attack["user_input"]) >= threshold
        for kind, groups in seen.items():
            groups[attack[kind]].append(found_it)
    return {
        "threshold": threshold,
        "benign_wrongly_blocked": benign,
        "attacks_found_by_variant": {name: _share(found) for name, found in sorted(seen["injection_variant"].items())},
        "attacks_found_by_type": {name: _share(found) for name, found in sorted(seen["injection_type"].items())},
    }


def _share(found: list[bool]) -> str:
    return f"{sum(found)} of {len(found)}"


async def _times() -> dict[str, Any]:
    """Of the default checks with five passages; CPU time, because nothing of it waits."""
    checks = Checks(RuleGuard((rule.name, rule.pattern, rule.refusal) for rule in load_moderation()), personal_data)
    passages = [_passage(number) for number in range(5)]
    question: list[float] = []
    retrieved: list[float] = []
    answer: list[float] = []
    links: list[float] = []
    for _ in range(TURNS):
        chain = GuardChain(GuardrailsConfig(), checks, GuardReport())
        marks = [time.process_time()]
        await chain.input(QUESTION)
        marks.append(time.process_time())
        chain.passages(passages)
        marks.append(time.process_time())
        guard = OutputGuard(chain, INSTRUCTIONS)
        shown = "".join([guard.feed(piece) for piece in ANSWER]) + await guard.finish()
        marks.append(time.process_time())
        assert shown == "".join(ANSWER)
        only_links = LinkFilter(())
        for piece in ANSWER:
            only_links.feed(piece)
        marks.append(time.process_time())
        for times, begun, ended in zip((question, retrieved, answer, links), marks[:-1], marks[1:], strict=True):
            times.append(ended - begun)
    whole = [sum(parts) for parts in zip(question, retrieved, answer, strict=True)]
    return {
        "unit": "ms of CPU time",
        "turns": TURNS,
        "pieces_per_answer": len(ANSWER),
        "p50": milliseconds(percentile(whole, 50)),
        "p99": milliseconds(percentile(whole, 99)),
        "p50_question": milliseconds(percentile(question, 50)),
        "p50_five_passages": milliseconds(percentile(retrieved, 50)),
        "p50_answer": milliseconds(percentile(answer, 50)),
        "p50_links_of_the_answer": milliseconds(percentile(links, 50)),
        "p50_microseconds_per_piece": round(1e6 * percentile(answer, 50) / len(ANSWER), 1),
    }


def _passage(number: int) -> Passage:
    text = f"{number}. " + "The lamp has a switch, a cord of two metres, and three levels of light. Keep it dry. " * 8
    return Passage(DocumentId(new_uuid()), "guide.md", number, 0, len(text), text, None, None, 0.8, 0.5)

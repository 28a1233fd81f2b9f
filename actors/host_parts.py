"""What the tenants of a session host share."""

from collections.abc import Callable
from dataclasses import dataclass

from actors.fair_share import FairShare
from actors.live_turn import LiveTurn
from actors.replay_log import ReplayLog
from actors.running_turn import TurnTools
from actors.summarizer import Summarizer
from domain.plans import Plan


@dataclass(frozen=True, slots=True)
class HostParts:
    """One for all of them; each keeps its own turns and budget."""

    tools: TurnTools
    plans: dict[str, Plan]
    share: FairShare
    replay: ReplayLog
    summarizer: Summarizer
    resolve_model: Callable[[str], str]
    announce: Callable[[LiveTurn], None]
    """Called with every turn that begins."""
    restart_orphans: bool
    """Whether a turn of a dead process runs again when nothing of its answer was shown."""

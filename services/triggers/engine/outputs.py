"""What the engine hands back for a batch of one partition."""

from services.contracts.cleaning import Finding
from services.contracts.command import Cancel, Erased, Moved, SendCommand
from services.contracts.control import Answer, Ask, Forward
from services.contracts.decision import Decision
from services.contracts.profile import Profile


class Outputs:
    """Collects commands, decisions and profiles in the order they were concluded.

    `counts` gives every event exactly one outcome: `applied`, `clamped` (applied, its future
    time replaced), `late` (tags only), `alias` (recorded), `duplicate` or `forwarded` (to whom
    the person has become, and it gets another outcome there). `skipped` counts values that
    could not enter a profile: `tag_value`, `trait`. `findings` are of cleaning. `hops` go to
    other people's logs, in their order; `notices` follow the commands on their topic.
    `partition` is the source partition stamped on profiles.
    """

    __slots__ = (
        "commands",
        "counts",
        "decisions",
        "findings",
        "hops",
        "notices",
        "partition",
        "profiles",
        "skipped",
    )

    def __init__(self, partition: int = 0) -> None:
        self.partition = partition
        self.commands: list[SendCommand] = []
        self.notices: list[Cancel | Moved | Erased] = []
        self.decisions: list[Decision] = []
        self.findings: list[Finding] = []
        self.profiles: list[Profile] = []
        self.hops: list[Ask | Answer | Forward] = []
        self.counts: dict[str, int] = {
            "applied": 0,
            "duplicate": 0,
            "late": 0,
            "clamped": 0,
            "alias": 0,
            "forwarded": 0,
        }
        self.skipped: dict[str, int] = {"tag_value": 0, "trait": 0}

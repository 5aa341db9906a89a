"""Which topics exist, who writes each and who reads it: the flow, stated once.

The command line, the compose file, the deploy files and the docs are held to this table by a test.
"""

from typing import Final, Literal

import msgspec

StageName = Literal["ingest", "scoring", "router", "notify"]

STAGES: Final[tuple[StageName, ...]] = ("ingest", "scoring", "router", "notify")


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic of the log.

    Attributes:
        key: What the record key is made of; records of one key keep their order.
        writer: The one stage that writes it (other producers may write `tracking.events` too).
        reader: The one stage that reads it.
        retention_days: How long records are kept by default, in days.
    """

    name: str
    key: str
    writer: StageName
    reader: StageName
    holds: str
    retention_days: int


TRACKING_EVENTS: Final = Topic(
    name="tracking.events",
    key="profile key: the strongest identifier in the payload, as kind:value",
    writer="ingest",
    reader="scoring",
    holds="one event each",
    retention_days=7,
)
LEAD_SCORED: Final = Topic(
    name="lead.scored",
    key="lead id",
    writer="scoring",
    reader="router",
    holds="changed, reversed, merged, split, erased: snapshot and causes",
    retention_days=7,
)
LEAD_ROUTED: Final = Topic(
    name="lead.routed",
    key="lead id",
    writer="router",
    reader="notify",
    holds="decisions, claims, recalls: reasons, assignee, what to say",
    retention_days=7,
)
LEAD_OUTCOMES: Final = Topic(
    name="lead.outcomes",
    key="lead id",
    writer="router",
    reader="scoring",
    holds="accepted, declined, snoozed, won, lost",
    retention_days=30,
)

FLOW: Final[tuple[Topic, ...]] = (TRACKING_EVENTS, LEAD_SCORED, LEAD_ROUTED, LEAD_OUTCOMES)

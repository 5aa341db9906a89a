"""Which platforms are there? The one place that knows them all: a new platform is its file and a line here."""

from collections.abc import Mapping
from typing import Final

from services.ingest.sources import cloudevents, segment, standardwebhooks
from services.ingest.sources.base import Platform

PLATFORMS: Final[Mapping[str, Platform]] = {
    platform.name: platform
    for platform in (
        segment.PLATFORM,
        cloudevents.PLATFORM,
        standardwebhooks.PLATFORM,
    )
}
# Other names that people give for a platform.
ALIASES: Final[Mapping[str, str]] = {
    "rudderstack": "segment",
    "standard-webhooks": "standardwebhooks",
    "http": "segment",
}


def platform_named(name: str) -> Platform | None:
    """The platform of that name, or of an alias; None when there is none."""
    folded = name.strip().casefold()
    return PLATFORMS.get(ALIASES.get(folded, folded))

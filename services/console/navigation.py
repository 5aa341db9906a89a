"""Which pages does a role see in the bar at the top? Pure."""

from collections.abc import Collection
from typing import Final

import msgspec

from services.runtime.access import Role


class Entry(msgspec.Struct, frozen=True):
    """One link. `icon` names a drawing of `_icons.html`."""

    label: str
    path: str
    icon: str
    roles: tuple[Role, ...]


ENTRIES: Final[tuple[Entry, ...]] = (
    Entry("Inbox", "/inbox", "inbox", ("rep",)),
    Entry("Leads", "/leads", "people", ("rep", "marketing", "ops")),
    Entry("Availability", "/me", "clock", ("rep",)),
    Entry("Policy", "/policy", "page", ("marketing",)),
    Entry("Matrix", "/matrix", "grid", ("marketing",)),
    Entry("Funnel", "/funnel", "funnel", ("marketing",)),
    Entry("Templates", "/templates", "speech", ("marketing",)),
    Entry("Sources", "/sources", "plug", ("marketing", "ops")),
    Entry("Overview", "/overview", "pulse", ("ops",)),
    Entry("Lag", "/ops/lag", "clock", ("ops",)),
    Entry("Dead letters", "/ops/dead-letters", "letter", ("ops",)),
    Entry("Deliveries", "/ops/deliveries", "send", ("ops",)),
    Entry("Tokens", "/ops/tokens", "key", ("ops",)),
)


def links(role: Role, pages: Collection[str]) -> list[Entry]:
    """The links of a role, in order, of those `pages` that this process has. An admin sees all."""
    return [one for one in ENTRIES if one.path in pages and (role == "admin" or role in one.roles)]


def start(role: Role, pages: Collection[str]) -> str | None:
    """Where a role begins."""
    if role == "admin" and "/overview" in pages:
        return "/overview"
    found = links(role, pages)
    own = [one for one in found if one.roles == (role,)]
    first = own or found
    return first[0].path if first else None

"""Whom does the site greet, and in whose name? Only a visitor of the moment, only by a greeter who is named."""

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

import msgspec

from schemas.messages import LeadRouted

# The browser connects about a second after its page view; a visitor who comes back later is greeted by a new view.
LIFE_S: Final = 120.0
VISITORS_MAX: Final = 20


class Greeter(msgspec.Struct, kw_only=True):
    """The person in whose name the site greets."""

    name: str
    title: str = ""


class Hello(msgspec.Struct, kw_only=True):
    """The data of the event `greeting`."""

    greeter: Greeter = msgspec.field(name="from")
    text: str
    account: str | None = None


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """One greeting for one browser. `visitor` is the hash under which the browser is known."""

    visitor: str
    id: str
    body: str
    until: datetime


def visitor_key(visitor: str) -> str:
    """The browser's anonymous id as it is stored and notified: a hash, since ids come from outside at any length."""
    return blake2b(visitor.encode(), digest_size=16).hexdigest()


def greetings_of(message_id: str, routed: LeadRouted, now: datetime) -> list[Greeting]:
    """The greetings that the message asks for at `now`; none when it is about something that is over."""
    greeter = routed.greeter or {}
    name = greeter.get("name", "").strip()
    if not name or not routed.visitors or (routed.fresh_until is not None and now > routed.fresh_until):
        return []
    company = (routed.account.name or routed.account.domain) if routed.account else None
    first = name.split()[0]
    about = f" I look after {company}." if company else ""
    hello = Hello(
        greeter=Greeter(name=name, title=greeter.get("title", "")),
        text=greeter.get("text") or f"Hello, {first} here.{about} If anything is unclear, just ask me.",
        account=company,
    )
    body = msgspec.json.encode(hello).decode()
    return [
        Greeting(
            visitor=visitor_key(visitor),
            id=blake2b(f"{message_id}|{visitor}".encode(), digest_size=8).hexdigest(),
            body=body,
            until=now + timedelta(seconds=LIFE_S),
        )
        for visitor in dict.fromkeys(routed.visitors[:VISITORS_MAX])
    ]

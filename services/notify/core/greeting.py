"""Whom does the site greet, and in whose name? A visitor of the moment: by the person in charge, or with the way to the shop."""

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from schemas.messages import LeadRouted

# The browser connects about a second after its page view; a visitor who comes back later is greeted by a new view.
LIFE_S: Final = 120.0
VISITORS_MAX: Final = 20
TEXT_MAX: Final = 500
# In the languages of the pages; the browser takes the one that its page is written in.
PERSON: Final = {
    "en": "Hello, {first} here.{about} If anything is unclear, just ask me.",
    "fi": "Hei, tässä {first}.{about} Jos jokin jää epäselväksi, kysy minulta.",
    "sv": "Hej, {first} här.{about} Fråga mig om något är oklart.",
}
ABOUT: Final = {
    "en": " I look after {company}.",
    "fi": " Olen yrityksesi yhteyshenkilö ({company}).",
    "sv": " Jag är kontaktperson för {company}.",
}
SHOP: Final = {
    "en": "Ready when you are: you can start right away in our web shop.",
    "fi": "Voit aloittaa heti verkkokaupassamme, kun sinulle sopii.",
    "sv": "Du kan börja direkt i vår webbutik när det passar dig.",
}


class Greeter(msgspec.Struct, kw_only=True):
    """The person in whose name the site greets; no name: the company itself."""

    name: str
    title: str = ""


class Way(msgspec.Struct, kw_only=True):
    """Where the visitor may go on: to a time in the greeter's calendar, or to the shop."""

    kind: Literal["meeting", "shop"]
    url: str


class Hello(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The data of the event `greeting`. `text` is English; `texts` the same in other languages."""

    greeter: Greeter = msgspec.field(name="from")
    text: str
    account: str | None
    texts: dict[str, str] = {}
    link: Way | None = None


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
    if not routed.visitors or (routed.fresh_until is not None and now > routed.fresh_until):
        return []
    hello = _hello(routed)
    if hello is None:
        return []
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


def _hello(routed: LeadRouted) -> Hello | None:
    """What is said, or None when there is neither a person to say it nor a shop to show."""
    greeter = routed.greeter or {}
    name = greeter.get("name", "").strip()
    company = (routed.account.name or routed.account.domain) if routed.account else None
    if name:
        words = _said(greeter.get("text"), first=name.split()[0], company=company)
        way = _way("meeting", greeter.get("link"))
        person = Greeter(name=name, title=greeter.get("title", ""))
        return Hello(greeter=person, text=words.pop("en"), texts=words, account=company, link=way)
    way = _way("shop", greeter.get("shop"))
    if way is None:
        return None
    return Hello(
        greeter=Greeter(name=""), text=SHOP["en"], texts={"fi": SHOP["fi"], "sv": SHOP["sv"]}, account=None, link=way
    )


def _said(own: str | None, *, first: str, company: str | None) -> dict[str, str]:
    if own:
        return {"en": own[:TEXT_MAX]}
    return {
        language: text.format(first=first, about=ABOUT[language].format(company=company) if company else "")
        for language, text in PERSON.items()
    }


def _way(kind: Literal["meeting", "shop"], url: str | None) -> Way | None:
    """A web address only: it becomes a link on somebody's site."""
    return Way(kind=kind, url=url) if url is not None and url.startswith(("https://", "http://")) else None

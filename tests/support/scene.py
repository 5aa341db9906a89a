"""A sales day for tests and pictures of the console: people of the example company's accounts, told through the public API."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from services.cli.client import Client
from services.cli.stories import Cast, Teller

SHOP: Final = "https://aurora.example"
DAY_S: Final = 86_400
# First name, last name, domain, title.
NORDWIND: Final = (
    ("Vera", "Virta", "VP Operations"),
    ("Olli", "Oja", "Plant Manager"),
    ("Mikael", "Ström", "Chief Financial Officer"),
    ("Henna", "Lahti", "Head of Procurement"),
)
EVIL: Final = '<img src=x onerror="alert(1)"><script>alert(2)</script> <b>Bold</b>'


@dataclass
class Scene:
    """Who is in it: name to person."""

    client: Client
    teller: Teller
    people: dict[str, dict[str, str]] = field(default_factory=dict)

    def person(self, first: str, last: str, domain: str, title: str) -> dict[str, str]:
        """Somebody with an address that reads well."""
        clean = last.lower().translate(str.maketrans("öäå", "oaa"))
        found = {
            "user": f"u-{first}-{last}".lower(),
            "email": f"{first.lower()}.{clean}@{domain}",
            "name": f"{first} {last}",
            "title": title,
        }
        self.people[first] = found
        return found

    async def known(self, person: dict[str, str]) -> dict[str, Any]:
        """The person becomes known; returns the lead."""
        await self.teller.send(self.teller.identify(person))
        lead = await self.teller.until(person["email"], lambda x: bool(x.get("route")))
        assert lead is not None, person
        return lead


async def open_scene(client: Client) -> Scene:
    """Anna's inbox with offers and a visit going on, one taken, one withdrawn, one missed; an SDR's lead; a scanner."""
    scene = Scene(client, Teller(client, Cast(suffix="scene")))
    tell = scene.teller
    people = [scene.person(first, last, "nordwind.example", title) for first, last, title in NORDWIND]
    for person in people:
        await scene.known(person)
    vera, olli = people[0], people[1]
    history = [tell.page("/case/steel", user=vera["user"], ago_s=days * DAY_S) for days in (24, 17, 16, 9, 4)]
    history.append(tell.track(vera["user"], "Webinar Attended", ago_s=9 * DAY_S, webinar="Forecasting that holds"))
    history.append(tell.track(vera["user"], "Content Downloaded", ago_s=4 * DAY_S, name="Buyer's guide"))
    await tell.send(*history)
    clicks = [
        tell.track(
            vera["user"], "Email Link Clicked", ago_s=3 * DAY_S - i * 0.1, message_id="scan", link=f"{SHOP}/l{i}"
        )
        for i in range(4)
    ]
    await tell.send(tell.track(vera["user"], "Email Delivered", ago_s=3 * DAY_S + 1, message_id="scan"), *clicks)
    await tell.send(tell.page("/pricing", user=vera["user"]), tell.page("/integrations", user=olli["user"]))
    await tell.until(vera["email"], lambda x: (x.get("engagement") or {}).get("score", 0) > 5)
    for n, (first, domain) in enumerate((("Maria", "fjordsoft.example"), ("Kaisa", "kivi.example"))):
        person = scene.person(first, ("Moe", "Kivi")[n], domain, "Head of Marketing")
        await scene.known(person)
        await tell.interest(person["user"])
        await tell.until(person["email"], lambda x: x.get("route") == "sdr")
    student = scene.person("Stu", "Keen", "gmail.com", "Student")
    await scene.known(student)
    await asyncio.sleep(0.5)
    return scene

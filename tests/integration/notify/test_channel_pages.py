"""The console's pages of channels over a real database: what they show, to whom, and what their form changes."""

import re
from collections.abc import Mapping

import httpx
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from services.console.frame import Frame
from services.console.pages.channels import ChannelPages
from services.console.pages.deliveries import SHOWN, DeliveryPages
from services.notify.store.ledger import Ledger
from services.runtime.access import Access
from services.runtime.clock import FixedClock
from services.runtime.http import make_app
from tests.integration.notify.far import Rig, notice, put


class Pages:
    """The pages over ASGI, with a token of each role."""

    def __init__(self, rig: Rig) -> None:
        self.access = Access(rig.db, rig.clock)
        frame = Frame(self.access, rig.clock)
        routes = [
            *ChannelPages(frame, rig.endpoints).routes(),
            *DeliveryPages(frame, rig.endpoints, Ledger(rig.db)).routes(),
            frame.asset_route(),
        ]
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(make_app(routes, [], self.access)),
            base_url="http://test",
            headers={"accept": "text/html"},
        )

    async def call(self, who: str, path: str, sent: Mapping[str, str] | None = None, status: int = 200) -> HTMLParser:
        token = await self.access.create(who, "anna" if who == "rep" else None)
        method = "GET" if sent is None else "POST"
        answer = await self.http.request(method, path, data=sent, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == status, answer.text
        return HTMLParser(answer.text)


def filled(page: HTMLParser) -> dict[str, str]:
    """What a browser would send of the form as it stands."""
    found = {}
    for one in page.css("form[action^='/channels/'] [name]"):
        at = one.attributes
        if at.get("type") == "checkbox" and "checked" not in at:
            continue
        if one.tag == "select":
            chosen = one.css_first("option[selected]")
            assert chosen is not None
            found[at["name"]] = chosen.attributes["value"]
        else:
            found[at["name"]] = one.text() if one.tag == "textarea" else at.get("value") or ""
    return found


def text(page: HTMLParser) -> str:
    assert page.body is not None
    return re.sub(r"\s+", " ", page.body.text(separator=" "))


async def test_a_channel_is_changed_by_its_form(rig: Rig) -> None:
    pages = Pages(rig)
    channel = await rig.add("slack_bot", name="slack", token="xoxb-very-secret", api="https://slack.example/api")
    listed = await pages.call("ops", "/channels")
    assert listed.css_first(f'a[href="/channels/{channel}"]') is not None
    await pages.call("rep", "/channels", status=403)

    page = await pages.call("marketing", f"/channels/{channel}")
    assert "xoxb-very-secret" not in page.html
    sent = filled(page)
    assert {"kind-handover", "kind-due", "option-api", "option-token", "per_s"} <= set(sent)
    # As it stands it changes nothing.
    before = await rig.endpoints.find(channel)
    await pages.call("marketing", f"/channels/{channel}", sent, 303)
    same = await rig.endpoints.find(channel)
    assert (same.options, same.kinds, same.reps, same.per_s, same.feed, same.name) == (
        before.options, before.kinds, before.reps, before.per_s, before.feed, before.name,
    )  # fmt: skip

    del sent["kind-opened"]
    asked = {**sent, "reps": "anna, ben", "per_s": "0.5", "option-users": "U1=anna", "name": "slack two", "feed": "yes"}
    await pages.call("marketing", f"/channels/{channel}", asked, 303)
    after = await rig.endpoints.find(channel)
    assert (after.reps, after.per_s, after.name, after.feed) == (["anna", "ben"], 0.5, "slack two", True)
    assert after.options == {"api": "https://slack.example/api", "users": "U1=anna"}
    assert "opened" not in after.kinds
    assert "Saved" in text(await pages.call("marketing", f"/channels/{channel}?saved=yes"))


async def test_what_is_wrong_is_said_and_nothing_typed_is_lost_but_secrets(rig: Rig) -> None:
    pages = Pages(rig)
    channel = await rig.add("slack_bot", name="slack", token="xoxb-very-secret", api="https://slack.example/api")
    sent = filled(await pages.call("admin", f"/channels/{channel}"))
    asked = {**sent, "option-api": "https://evil.example", "reps": "anna", "name": "<script>"}
    page = await pages.call("marketing", f"/channels/{channel}", asked, 422)
    assert "Token: say it again, as api changes" in text(page)
    assert filled(page) == asked
    page = await pages.call("marketing", f"/channels/{channel}", {**asked, "option-token": "xoxb-2", "per_s": "x"}, 422)
    assert "Messages a second: write a number" in text(page)
    assert "xoxb-2" not in page.html
    page = await pages.call("marketing", f"/channels/{channel}", {**sent, "concurrency": "1.5"}, 422)
    assert "whole number" in text(page)
    assert (await rig.endpoints.find(channel)).options["api"] == "https://slack.example/api"

    # Operations see it, and change nothing.
    page = await pages.call("ops", f"/channels/{channel}")
    assert page.css_first("form.desk-two button") is None
    await pages.call("ops", f"/channels/{channel}", sent, 403)
    await pages.call("admin", "/channels/nothing", status=404)
    # An address that is a secret itself has no field.
    hook = await rig.add("webhook", name="hook", url="https://hooks.example/very-secret")
    page = await pages.call("admin", f"/channels/{hook}")
    assert not page.css("[name^=option-]")
    assert "hooks.example" not in page.html


async def test_older_deliveries_follow_where_the_page_ends(rig: Rig, clock: FixedClock) -> None:
    pages = Pages(rig)
    await rig.add("webhook", name="hook", url="https://hooks.example/in")
    await put(rig.db, *(notice(clock) for _ in range(SHOWN + 3)))
    await rig.planner.turn()
    first = await pages.call("ops", "/ops/deliveries?state=due")
    older = first.css_first(".pager a")
    assert older is not None
    rest = await pages.call("ops", older.attributes["href"] or "")
    assert [len(page.css(".letters tbody tr")) for page in (first, rest)] == [SHOWN, 3]
    assert rest.css_first(".pager a") is None
    for cursor in ("nonsense", "WyJ4IiwieSJd", "WyIyMDI2LTAxLTAxIiwieSJd"):  # none, no time, no zone
        await pages.call("ops", f"/ops/deliveries?cursor={cursor}", status=400)

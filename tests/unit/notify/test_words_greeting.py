"""Words of our own, and greetings."""

import json
from datetime import timedelta

import msgspec

from services.notify.core.greeting import LIFE_S, VISITORS_MAX, greetings_of, visitor_key
from services.notify.core.notice import ShownAccount, ShownLead, ShownWhat
from services.notify.core.words import say_of, who_of, why_of
from tests.unit.notify.messages import NOW, SOMEBODY, alert

ANNA = {"name": "Anna Aalto", "title": "Account manager"}


def test_who():
    company = ShownAccount(domain="x.example")
    assert who_of(ShownLead(id="1", name="Vera"), company) == "Vera"
    assert who_of(ShownLead(id="1", email="v@x.example"), None) == "v@x.example"
    assert who_of(ShownLead(id="1"), company) == "Somebody from x.example"
    assert who_of(ShownLead(id="1"), None) == "Somebody"


def test_why_and_say_are_sentences():
    lead = ShownLead(id="1", name="Vera Virta")
    assert why_of("visiting_now", lead, None, []) == "Vera Virta is on the site now."
    did = [ShownWhat(signal="demo.requested", at=NOW)]
    assert why_of("other", lead, None, did) == "Vera Virta was active: asked for a demo."
    assert say_of(lead, None).body.startswith("Hello Vera, what are you working on at your company")
    assert say_of(ShownLead(id="1"), ShownAccount(domain="x.example")).subject == "A question about x.example"


def test_a_greeting_in_the_owners_name():
    [greeting] = greetings_of("m1", alert(SOMEBODY, visitors=["anon-1", "anon-1"], greeter=ANNA), NOW)
    body = json.loads(greeting.body)
    assert body["from"] == ANNA
    assert body["account"] == "Nordwind Industries Oyj"
    assert "Anna here. I look after Nordwind Industries Oyj." in body["text"]
    assert greeting.visitor == visitor_key("anon-1")
    assert greeting.until == NOW + timedelta(seconds=LIFE_S)
    [own] = greetings_of("m1", alert(visitors=["a"], greeter={**ANNA, "text": "Moi!"}, account=None), NOW)
    assert json.loads(own.body) == {"from": ANNA, "text": "Moi!", "account": None}


def test_a_greeting_has_the_words_of_three_languages_and_a_way_on():
    greeter = {**ANNA, "link": "https://meet.seller.example/anna"}
    [greeting] = greetings_of("m1", alert(SOMEBODY, visitors=["a"], greeter=greeter), NOW)
    body = json.loads(greeting.body)
    assert body["link"] == {"kind": "meeting", "url": "https://meet.seller.example/anna"}
    assert sorted(body["texts"]) == ["fi", "sv"]
    assert all("Anna" in text and "Nordwind Industries Oyj" in text for text in body["texts"].values())
    for never in ("javascript:alert(1)", "data:text/html,x", "//x.example", ""):
        [greeting] = greetings_of("m1", alert(SOMEBODY, visitors=["a"], greeter={**ANNA, "link": never}), NOW)
        assert "link" not in json.loads(greeting.body)


def test_whom_nobody_sells_to_is_shown_the_shop():
    shop = "https://shop.aurora.example/start"
    [greeting] = greetings_of("m1", alert(visitors=["a"], greeter={"shop": shop}), NOW)
    body = json.loads(greeting.body)
    assert (body["from"], body["account"]) == ({"name": "", "title": ""}, None)
    assert body["link"] == {"kind": "shop", "url": shop}
    assert {*body["texts"], "en"} == {"en", "fi", "sv"}
    assert greetings_of("m1", alert(visitors=["a"], greeter={"shop": "javascript:x"}), NOW) == []


def test_no_greeting_without_greeter_visitor_or_freshness():
    assert greetings_of("m", alert(visitors=["a"]), NOW) == []
    assert greetings_of("m", alert(greeter=ANNA), NOW) == []
    assert greetings_of("m", alert(visitors=["a"], greeter=ANNA), NOW + timedelta(hours=1)) == []
    assert len(greetings_of("m", alert(visitors=[str(i) for i in range(99)], greeter=ANNA), NOW)) == VISITORS_MAX
    never = msgspec.structs.replace(alert(visitors=["a"], greeter=ANNA), fresh_until=None)
    assert len(greetings_of("m", never, NOW)) == 1

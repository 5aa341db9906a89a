"""Salesforce: our template for a Flow's HTTP callout on opportunities, leads and contacts. A header repeats the secret.

Salesforce has no webhooks of its own; docs/sources/salesforce.md shows the Flow and the body.

Source: https://help.salesforce.com/s/articleView?id=platform.flow_http_callout.htm
"""

from collections.abc import Iterable
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.core.spelling import fold
from services.ingest.sources.hooks import Item, Told, crm, hook, joined
from services.ingest.sources.signatures import shared_secret

_STAGES: Final = {"closedwon": "deal.won", "closedlost": "deal.lost"}


def read(item: Item) -> Iterable[Seen | Told]:
    """One record that changed."""
    about = (item.first("object", "sobject", "type") or item.needed("object")).casefold()
    number = item.first("Id", "id")
    contact = item.sub("Contact") if item.get("Contact") is not None else item
    time = item.first("LastModifiedDate", "SystemModstamp", "CreatedDate")
    deleted = item.flag("IsDeleted")
    signal = None
    if about == "opportunity":
        signal = _STAGES.get(fold(item.text("StageName") or ""))
        if signal is None and item.flag("IsClosed"):
            signal = "deal.won" if item.flag("IsWon") else "deal.lost"
    elif about in ("lead", "contact"):
        signal = "person.deleted" if deleted else "person.identified"
    if signal is None:
        yield Told(f"{about} {item.text('StageName') or ''}".strip())
        return
    person = item.first("ContactId", "contact_id") or contact.text("Id") if about == "opportunity" else number
    stage = fold(item.text("StageName") or signal)
    account = item.sub("Account")
    yield Seen(
        raw=item.raw,
        signal=signal,
        # A stage is reached once; an edit of a won deal is no second win.
        id=joined(about, number, stage) if about == "opportunity" else joined(about, number, time, signal),
        time=item.get("CloseTime") or time,
        emails=(contact.get("Email"), item.get("ContactEmail")),
        crm=crm("salesforce", person) or crm("salesforce", number),
        traits={
            "first_name": contact.get("FirstName"),
            "last_name": contact.get("LastName"),
            "name": contact.get("Name") if about != "opportunity" else None,
            "title": contact.get("Title"),
            "phone": contact.get("Phone"),
            "company": item.text("Company") or account.get("Name"),
            "industry": item.text("Industry") or account.get("Industry"),
            "employees": item.get("NumberOfEmployees") or account.get("NumberOfEmployees"),
            "country": item.get("Country"),
            "website": item.text("Website") or account.get("Website"),
        },
    )


PLATFORM: Final = hook("salesforce", read, verify=shared_secret)

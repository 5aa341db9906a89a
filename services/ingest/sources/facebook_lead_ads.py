"""Facebook Lead Ads: a page's `leadgen` changes, which carry only ids, or a lead whose fields were fetched already.

The address of the person must be asked for (`/<leadgen_id>?fields=field_data`). Until then the lead is kept under the
CRM id `facebook:<leadgen_id>`, to which a later `person.identified` with both joins the address.

Source: https://developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.ingest.core.mapping import Seen
from services.ingest.sources.answers import facts
from services.ingest.sources.base import Arrival, BadBody
from services.ingest.sources.hooks import Item, Told, crm, hook, json_items
from services.ingest.sources.signatures import over_body

_any: Final = msgspec.json.Decoder()


def challenge(query: Mapping[str, str], source_id: str) -> str | None:
    """The answer to the set-up's GET; the verify token is the id of the source."""
    if query.get("hub.mode") == "subscribe" and query.get("hub.verify_token") == source_id:
        return query.get("hub.challenge", "")[:256]
    return None


def split(arrival: Arrival) -> Sequence[bytes]:
    """Each change of each page."""
    made: list[bytes] = []
    for raw in json_items(arrival):
        try:
            whole = Item(_any.decode(raw))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadBody("malformed_json", f"the body cannot be read: {error}") from error
        if not whole.list("entry"):
            made.append(raw)
            continue
        for entry in map(Item, whole.list("entry")):
            made += [
                msgspec.json.encode({"page": entry.get("id"), "time": entry.get("time"), "change": change})
                for change in entry.list("changes")
            ]
    return made


def read(item: Item) -> Iterable[Seen | Told]:
    """One lead."""
    change = item.sub("change")
    field = change.text("field")
    if field is not None and field != "leadgen":
        yield Told(field)
        return
    value = change.sub("value") if change.of else item
    fields = [Item(one) for one in value.list("field_data")]
    answered = [(one.get("name"), list(one.list("values")) or one.get("value")) for one in fields]
    traits = facts(answered or value.of.items())
    number = value.first("leadgen_id", "lead_id", "id") if value.get("email") else value.needed("leadgen_id")
    yield Seen(
        raw=item.raw,
        otherwise="form.submitted",
        name=value.text("form_name"),
        id=number,
        time=value.get("created_time") or item.get("time"),
        emails=(value.get("email"), traits.get("email")),
        crm=crm("facebook", number),
        traits=traits,
        campaign=value.first("campaign_name", "ad_name", "ad_id", "form_id"),
    )


_signed: Final = over_body("X-Hub-Signature-256", "sha256", "hex", "sha256=")
PLATFORM: Final = hook("facebook_lead_ads", read, split=split, verify=_signed, challenge=challenge)


def answers_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Facts in what the API answers for a lead: for the step that looks leads up."""
    fields = [Item(one) for one in Item(found).list("field_data")]
    return facts((one.get("name"), list(one.list("values"))) for one in fields)

"""Unbounce's form webhook: a form whose field `data.json` holds the answers, each a list. Unsigned.

Source: https://documentation.unbounce.com/hc/en-us/articles/203510044
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from services.ingest.core.mapping import Seen
from services.ingest.sources import forms
from services.ingest.sources.answers import facts
from services.ingest.sources.base import Arrival, BadBody
from services.ingest.sources.hooks import Item, Told, hook, json_items
from services.ingest.sources.signatures import shared_secret

_any: Final = msgspec.json.Decoder()


def split(arrival: Arrival) -> Sequence[bytes]:
    """The page's fields, and the answers as one object."""
    if arrival.body.lstrip()[:1] in (b"{", b"["):
        return json_items(arrival)
    pairs = forms.fields(arrival.body, arrival.headers.get("content-type", ""))
    made: dict[str, Any] = {name: value for name, value in pairs if name != "data.xml"}
    text = made.pop("data.json", None)
    if text is not None:
        try:
            made["data"] = _any.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadBody("malformed_json", f"the field data.json cannot be read: {error}") from error
    return [msgspec.json.encode(made)]


def read(item: Item) -> Iterable[Seen | Told]:
    """One form that was sent."""
    answers = forms.plain(item.sub("data").of) or item.of
    data = Item(answers)
    page = data.first("page_url") or item.text("page_url")
    yield Seen(
        raw=item.raw,
        otherwise="form.submitted",
        name=data.first("page_name") or item.text("page_name"),
        id=data.first("submission_id", "lead_id"),
        time=_time(data),
        emails=(data.get("email"), facts(answers.items()).get("email")),
        traits=facts((name, value) for name, value in answers.items() if not name.startswith("page_")),
        properties={"url": page},
        ip=data.get("ip_address"),
        campaign=data.first("utm_campaign"),
    )


def _time(data: Item) -> datetime | None:
    """`2017-11-15` and `11:45 AM UTC`."""
    text = f"{data.text('date_submitted')} {data.text('time_submitted')}".removesuffix(" UTC")
    try:
        return datetime.strptime(text, "%Y-%m-%d %I:%M %p").replace(tzinfo=UTC)
    except ValueError:
        return None


PLATFORM: Final = hook("unbounce", read, split=split, verify=shared_secret)

"""Snowplow's trackers: `tp2` posts and the `/i` pixel. The source is named by the application id (`appId`, `aid`).

Every value is a text; contexts and self-describing events come as JSON or as URL-safe base64, often unpadded.

Source: https://docs.snowplow.io/docs/fundamentals/canonical-event/snowplow-tracker-protocol/
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.ingest.core.mapping import Seen
from services.ingest.core.spelling import fold
from services.ingest.sources.base import Arrival, BadBody, Limits, Parsed, Platform, decode_body, replayed
from services.ingest.sources.hooks import Item, Told, ident, json_items, parsed

POST_PATH: Final = "/com.snowplowanalytics.snowplow/tp2"
PIXEL_PATH: Final = "/i"
PATHS: Final = (POST_PATH, PIXEL_PATH)
PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_SCHEMA = re.compile(r"iglu:[^/]{1,128}/([^/]{1,128})/jsonschema/")
# Self-describing events of the trackers themselves, by the folded name of their schema.
_EVENTS: Final[Mapping[str, str | None]] = {
    "linkclick": "link_clicked",
    "submitform": "form.submitted",
    "screenview": "page.viewed",
    "identify": "person.identified",
    "focusform": None,
    "changeform": None,
    "applicationbackground": None,
    "applicationforeground": None,
    "applicationinstall": None,
    "pageping": None,
    "webvitals": None,
    "buttonclick": None,
    "timing": None,
}
_PEOPLE: Final = ("user", "person", "contact", "identify", "customer", "profile")


class Envelope(msgspec.Struct):
    """A post. Each event stays raw."""

    data: list[msgspec.Raw] | None = None


_envelope: Final = msgspec.json.Decoder(Envelope)
_any: Final = msgspec.json.Decoder()


def _events(arrival: Arrival) -> Sequence[bytes]:
    if not arrival.body.strip():
        if not arrival.query.get("e"):
            raise BadBody("empty_body", "the request holds no event")
        return [msgspec.json.encode(dict(arrival.query))]
    if arrival.body.lstrip()[:1] == b"[":
        return json_items(arrival)
    data = decode_body(_envelope, arrival.body).data
    return [bytes(raw) for raw in data] if data is not None else [arrival.body]


def key_of(arrival: Arrival) -> str | None:
    """The application id of the first event."""
    for raw in _events(arrival)[:1]:
        try:
            found = Item(_any.decode(raw)).get("aid")
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        return found if isinstance(found, str) else None
    return None


def parse(arrival: Arrival, limits: Limits) -> Parsed:
    """What a post or a pixel's query holds."""
    return parsed(_events(arrival), read, limits)


def parse_item(raw: bytes, limits: Limits) -> Parsed:
    """One event again, or a whole body."""
    return parse(replayed(raw, "hook"), limits)


def read(item: Item) -> Iterable[Seen | Told]:
    """One event."""
    kind = item.needed("e")
    data: Mapping[str, Any] = {}
    signal: str | None = None
    name: str | None = None
    if kind == "pv":
        signal, name = "page.viewed", item.text("page")
    elif kind == "se":
        name = item.needed("se_ac")
        data = {"category": item.get("se_ca"), "label": item.get("se_la"), "property": item.get("se_pr")}
    elif kind == "ue":
        name, data = _self_describing(item)
        folded = fold(name)
        if folded in _EVENTS:
            signal = _EVENTS[folded]
            if signal is None:
                yield Told(name)
                return
    elif kind == "tr":
        name = "Transaction"
    else:
        yield Told({"pp": "page ping", "ti": "transaction item"}.get(kind, kind))
        return
    person = _person(item) | ({**data} if signal == "person.identified" else {})
    link = Item(data).first("targetUrl", "target_url", "url")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=name,
        id=item.text("eid"),
        time=item.first("ttm", "dtm"),
        # A true time comes from elsewhere than the clock that `stm` is of.
        sent_at=None if item.text("ttm") else item.text("stm"),
        emails=(person.get("email"), Item(data).first("email", "emailAddress")),
        user=ident(item.get("uid")),
        anonymous=ident(item.get("duid")) or ident(item.get("tnuid")) or ident(item.get("nuid")),
        traits=person or None,
        properties={**data, "link": link} if signal != "page.viewed" else None,
        # Without the application id, which is the write key.
        properties_raw=msgspec.Raw(msgspec.json.encode({key: one for key, one in item.of.items() if key != "aid"})),
        page={"url": item.get("url"), "title": item.get("page")},
        ip=item.get("ip"),
        user_agent=item.get("ua"),
        volatile=("stm", "aid", "tv"),
    )


def _decoded(item: Item, plain: str, encoded: str) -> Any:
    """JSON in either of two fields, or None."""
    text, packed = item.get(plain), item.get(encoded)
    try:
        if isinstance(text, str) and text:
            return _any.decode(text)
        if isinstance(packed, str) and packed:
            raw = packed.strip().replace("+", "-").replace("/", "_").rstrip("=")
            return _any.decode(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    except (msgspec.DecodeError, ValueError, binascii.Error, RecursionError):
        return None
    return text if isinstance(text, Mapping) else None


def _named(schema: object) -> str | None:
    found = _SCHEMA.match(schema) if isinstance(schema, str) else None
    return found.group(1) if found else None


def _self_describing(item: Item) -> tuple[str, Mapping[str, Any]]:
    """Name and data of `{"schema": …unstruct_event…, "data": {"schema": …, "data": {…}}}`."""
    inner = Item(_decoded(item, "ue_pr", "ue_px")).sub("data")
    name = _named(inner.get("schema"))
    return (name or Item({"ue_pr": None}).needed("ue_pr"), inner.sub("data").of)


def _person(item: Item) -> dict[str, Any]:
    """Facts in contexts: those whose schema is named after a person, and any with an address."""
    made: dict[str, Any] = {}
    for context in Item(_decoded(item, "co", "cx")).list("data"):
        one = Item(context)
        data = one.sub("data").of
        name = (_named(one.get("schema")) or "").casefold()
        if any(word in name for word in _PEOPLE) or "email" in data:
            made.update(data)
    return made


def answer(path: str) -> Callable[[Parsed], tuple[bytes, str]] | None:
    """The pixel for `/i`; the usual answer for a post."""
    return (lambda _: (PIXEL, "image/gif")) if path == PIXEL_PATH else None


PLATFORM: Final = Platform(name="snowplow", parse=parse, parse_item=parse_item)

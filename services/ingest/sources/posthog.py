"""PostHog's clients, unchanged but for host and key: `/batch/`, `/capture/`, `/e/` and `/i/v1/analytics/events`.

Bodies are `{api_key, batch: […], sent_at}`, one event, or a list of them; browsers send gzip without saying so, older
ones a form with base64 in `data`. The last path wants a verdict on each event.

Source: https://posthog.com/docs/api/capture
"""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import msgspec

from services.ingest.core.identity import UUID_TEXT
from services.ingest.core.mapping import Seen
from services.ingest.sources import forms
from services.ingest.sources.base import Arrival, BadBody, Limits, Parsed, Platform, decode_body, replayed
from services.ingest.sources.hooks import Item, Told, ident, moment, parsed

RESULTS_PATH: Final = "/i/v1/analytics/events"
PATHS: Final = ("/batch/", "/capture/", "/e/", "/track/", "/i/v0/e/", RESULTS_PATH)
_PAGES: Final = ("$pageview", "$screen")
_PERSON: Final = ("$identify", "$set", "$set_once", "$create_alias", "$merge_dangerously")


class Envelope(msgspec.Struct):
    """A body. Each event stays raw."""

    batch: list[msgspec.Raw] | None = None
    event: Any = None
    api_key: Any = None
    token: Any = None
    sent_at: Any = None
    properties: Any = None
    historical_migration: Any = None


_envelope: Final = msgspec.json.Decoder(Envelope)
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


def _body(arrival: Arrival) -> bytes:
    """The JSON, also out of a form with `data=<base64>` or of the query of a GET."""
    body = arrival.body.strip()
    if body[:1] in (b"{", b"["):
        return body
    data = arrival.query.get("data") if not body else None
    if body.startswith(b"data="):
        data = forms.first(forms.fields(body), "data")
    if not data:
        return body
    text = data.strip().encode("utf-8", "replace")
    if text[:1] in (b"{", b"["):
        return text
    try:
        return base64.b64decode(text.replace(b" ", b"+"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadBody("malformed_json", "the field `data` is neither JSON nor base64") from error


def _opened(arrival: Arrival) -> tuple[Envelope, Sequence[bytes]]:
    body = _body(arrival)
    if body[:1] == b"[":
        return Envelope(), [bytes(raw) for raw in decode_body(_list, body)]
    envelope = decode_body(_envelope, body)
    if envelope.batch is not None:
        return envelope, [bytes(raw) for raw in envelope.batch]
    return envelope, [body]


def key_of(arrival: Arrival) -> str | None:
    """The project key: in the body, or in the properties of the first event."""
    envelope, events = _opened(arrival)
    first = Envelope()
    if events:
        try:
            first = _envelope.decode(events[0])
        except (msgspec.DecodeError, RecursionError):
            first = Envelope()
    nested = (Item(envelope.properties).get("token"), Item(first.properties).get("token"))
    found = (envelope.api_key, envelope.token, first.api_key, first.token, *nested)
    return next((key for key in found if isinstance(key, str) and key), None)


def parse(arrival: Arrival, limits: Limits) -> Parsed:
    """What a body holds."""
    envelope, events = _opened(arrival)
    sent_at = envelope.sent_at or arrival.headers.get("posthog-request-timestamp") or arrival.query.get("_")
    if envelope.historical_migration is True:
        sent_at = None  # an import is sent long after its events; that is no wrong clock
    return parsed(events, partial(read, sent_at), limits)


def parse_item(raw: bytes, limits: Limits) -> Parsed:
    """One event again, or a whole body."""
    return parse(replayed(raw, "hook"), limits)


def read(sent_at: object, item: Item) -> Iterable[Seen | Told]:
    """One event. What PostHog's own product lives on (replays, flags, clicks on elements) is counted only."""
    name = item.needed("event")
    properties = item.sub("properties")
    known = properties.of
    if name.startswith("$") and name not in _PAGES and name not in _PERSON and name != "$groupidentify":
        yield Told(name)
        return
    distinct = _distinct(item, properties)
    facts = {**_plain(item, properties, "$set_once"), **_plain(item, properties, "$set")}
    signal, previous, account, group = None, None, None, None
    if name in _PAGES:
        signal = "page.viewed"
    elif name in _PERSON:
        signal = "person.identified"
        previous = properties.get("alias") if name != "$identify" else None
    elif name == "$groupidentify":
        signal, group = "account.updated", properties.text("$group_key")
        account = properties.sub("$group_set").of
        if distinct is None or distinct.startswith("$"):
            yield Told("$groupidentify without a person")  # the server's clients name only the group
            return
    anonymous, user = _who(distinct, properties)
    if item.get("options", "disable_skew_correction") is True or properties.get("$ignore_sent_at") is True:
        sent_at = None
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=properties.first("title", "$title", "$screen_name") if name in _PAGES else name,
        id=item.first("uuid") or properties.first("$insert_id", "uuid"),
        time=_time(item, sent_at),
        sent_at=sent_at,
        emails=(facts.get("email"), known.get("email")),
        user=user,
        anonymous=anonymous,
        previous=previous or None,
        traits=facts or None,
        account=account,
        account_id=group,
        properties=known,
        # Only these: beside them stands the write key.
        properties_raw=msgspec.Raw(msgspec.json.encode({key: one for key, one in known.items() if key != "token"})),
        ip=known.get("$ip"),
        user_agent=known.get("$raw_user_agent") or known.get("$useragent"),
        campaign=known.get("utm_campaign"),
        actor="machine" if known.get("$browser_type") == "bot" else None,
        volatile=("sent_at", "api_key", "token", "offset"),
    )


def _distinct(item: Item, properties: Item) -> str | None:
    found = item.get("distinct_id")
    return ident(found if found is not None else item.get("$distinct_id") or properties.get("distinct_id"))


def _who(distinct: str | None, properties: Item) -> tuple[str | None, str | None]:
    """The browser and the person: a distinct id is either, and only its company tells them apart."""
    device = ident(properties.get("$anon_distinct_id")) or ident(properties.get("$device_id"))
    if distinct is None:
        return device, ident(properties.get("$user_id"))
    identified = properties.get("$is_identified")
    if identified is True or properties.text("$user_id") == distinct:
        return device, distinct
    if identified is False or distinct == device or UUID_TEXT.fullmatch(distinct):
        return distinct, None
    return device, distinct


def _plain(item: Item, properties: Item, name: str) -> Mapping[str, Any]:
    """Facts about the person without PostHog's own (`$os`, `$initial_…`)."""
    found = {**properties.sub(name).of, **item.sub(name).of}
    return {key: value for key, value in found.items() if not key.startswith("$")}


def _time(item: Item, sent_at: object) -> Any:
    """The event's time; older browsers say how many milliseconds before the sending it was."""
    given, offset = item.get("timestamp"), item.get("offset")
    if given is not None or not isinstance(offset, int) or not 0 <= offset < 10**10:
        return given
    sent = moment(sent_at)
    return sent - timedelta(milliseconds=offset) if sent is not None else None


def answer(found: Parsed) -> tuple[bytes, str]:
    """A verdict on each event, as the newest clients want it; what is not listed counts as taken."""
    results: dict[str, dict[str, str]] = {}
    for _, seen in found.seen:
        if isinstance(seen.id, str):
            results[seen.id] = {"result": "ok"}
    for bad in found.rejected:
        try:
            name = Item(msgspec.json.decode(bad.raw)).text("uuid")
        except (msgspec.DecodeError, ValueError, RecursionError):
            name = None
        if name is not None:
            results[name] = {"result": "drop", "details": f"{bad.code}: {bad.message}"}
    return msgspec.json.encode({"success": True, "results": results}), "application/json"


PLATFORM: Final = Platform(name="posthog", parse=parse, parse_item=parse_item)

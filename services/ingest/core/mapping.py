"""What does an event say in our words? From what a source reported to a `tracking.events` message.

Reads nothing and writes nothing: every platform's parser ends in a `Seen`, and `to_event` makes the message of it.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from schemas.codec import CloudEvent
from schemas.messages import NO_PROPERTIES, Actor, Identifier, Tracking, Trust
from schemas.signals import SIGNALS, event_type
from services.ingest.core.addresses import clean_ip
from services.ingest.core.hints import ACTING, actor_of, hints, path_of, web_url
from services.ingest.core.identity import identifiers
from services.ingest.core.limits import ID_MAX, NAME_MAX, TEXT_MAX, BadItem, clean_text
from services.ingest.core.spelling import Speller
from services.ingest.core.times import event_time
from services.ingest.core.traits import company_facts, filled_in, person_traits

# Names of events whose `email` is somebody else's: the invited friend must not get the inviter's points.
_ABOUT_OTHERS: Final = ("invit", "referr", "refer ", "shared", "forward")
# Sites that have no call of their own for who somebody is send it with the form.
_FORMS: Final = frozenset(("form.submitted", "demo.requested"))
_EMPTY: Final[Mapping[str, Any]] = {}
_NOWHERE: Final = (None, None, None)
_NO_FACTS: Final = (None, None, NO_PROPERTIES)
_encoder = msgspec.json.Encoder(order="sorted")
_any = msgspec.json.Decoder()


class Seen(msgspec.Struct, kw_only=True, gc=False):
    """One thing as a source said it: fields found, nothing judged. Wrong types may stand anywhere that says `Any`.

    Attributes:
        raw: The item's own bytes, for the dead letter.
        id: The source's id of the event; a hash of the event stands in when there is none.
        signal: Our signal when the kind of the item decides it; None: `name` is looked up.
        otherwise: The signal when nobody knows the name: a form named "Demo request" is more than a form.
        source: The event's own CloudEvents source, when it has one.
        emails: Where an address may stand, most trusted first. `properties` and the user id come after these.
        page: Facts about the page that was open: url, path, title.
        volatile: Names of fields in `raw` that change with each try, left out of the hash.
        key_time: The time in the dedupe key where it is coarser than the event's own: two reports of one thing.
    """

    raw: bytes
    id: Any = None
    signal: str | None = None
    otherwise: str | None = None
    name: Any = None
    source: str | None = None
    time: Any = None
    sent_at: Any = None
    emails: tuple[Any, ...] = ()
    user: Any = None
    anonymous: Any = None
    crm: Any = None
    previous: Any = None
    traits: Mapping[str, Any] | None = None
    account: Mapping[str, Any] | None = None
    account_id: Any = None
    properties: Mapping[str, Any] | None = None
    properties_raw: msgspec.Raw = NO_PROPERTIES
    page: Any = None
    ip: Any = None
    user_agent: Any = None
    campaign: Any = None
    actor: Actor | None = None
    message_id: Any = None
    volatile: tuple[str, ...] = ("sentAt", "writeKey", "receivedAt")
    key_time: datetime | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What ingest itself knows of a request.

    Attributes:
        source: CloudEvents source of events that bring none.
        peer: Address of the client; counts for publishable keys only.
    """

    source: str
    trust: Trust
    received_at: datetime
    peer: str | None = None
    user_agent: str | None = None


def to_event(seen: Seen, facts: Facts, speller: Speller) -> CloudEvent[Tracking]:
    """The message for one event.

    Raises:
        BadItem: The event can never be used; its code says why.
    """
    signal = seen.signal or _signal(seen, speller)
    at = event_time(seen.time, seen.sent_at, facts.received_at)
    found = hints(seen.properties) if seen.properties else _EMPTY
    publishable = facts.trust == "publishable"
    if signal in _FORMS and seen.properties and not _of_others(seen):
        seen.traits = {**(seen.traits or _EMPTY), **filled_in(seen.properties, seen.traits or _EMPTY)}
    # Each part is asked only when there is something to ask it about: this runs for every event.
    url, path, link = _places(signal, seen, found) if found or seen.page else _NOWHERE
    traits, account, rest = _facts(seen) if seen.traits or seen.account or seen.account_id else _NO_FACTS
    source = facts.source
    if seen.source:
        # A browser could name any source, and so use up the id of an event that is still to come from there.
        source = f"{source}#{seen.source}" if publishable else seen.source
    # What a field is by itself is left as it is: twenty arguments cost a microsecond.
    data = Tracking(signal=signal, ids=_ids(seen, found), received_at=facts.received_at, occurred_at=at.occurred_at)
    if at.untimed:
        data.untimed = True
    if publishable:
        data.trust, data.ip = facts.trust, facts.peer
    elif seen.ip is not None:
        data.ip = _ip(seen.ip)
    if seen.actor is not None:
        data.actor = seen.actor
    elif found and not ACTING.isdisjoint(found):
        data.actor = actor_of(found)
    if signal.startswith("email."):
        data.message_id = _message_id(seen, found)
    if seen.campaign is not None or "campaign" in found:
        data.campaign = _campaign(seen, found)
    if seen.name is not None:
        data.name = _name(seen.name, signal)
    data.traits, data.account = traits, account
    data.url, data.path, data.link = url, path, link
    agent = seen.user_agent
    data.user_agent = agent if type(agent) is str and 0 < len(agent) <= TEXT_MAX else _user_agent(seen, found, facts)
    data.properties = rest or seen.properties_raw
    time = seen.key_time or at.own
    return CloudEvent(id=_event_id(seen), source=source, type=event_type(signal), time=time, data=data)


def _signal(seen: Seen, speller: Speller) -> str:
    if seen.otherwise is None:
        return speller.signal(seen.name)
    return speller.known(seen.name) or seen.otherwise


def _ids(seen: Seen, found: Mapping[str, Any]) -> list[Identifier]:
    emails = seen.emails
    email = found.get("email")
    if email is not None and not (_of_others(seen) and _named(seen)):
        emails = (*emails, email)
    crm = seen.crm if seen.crm is not None else found.get("crm")
    return identifiers(emails=emails, crm=crm, user=seen.user, anonymous=seen.anonymous, previous=seen.previous)


def _of_others(seen: Seen) -> bool:
    return isinstance(seen.name, str) and _about_others(seen.name[:NAME_MAX])


def _named(seen: Seen) -> bool:
    return bool(seen.user or seen.anonymous or any(seen.emails))


@lru_cache(maxsize=4096)
def _about_others(name: str) -> bool:
    folded = name.casefold()
    return any(word in folded for word in _ABOUT_OTHERS)


def _places(signal: str, seen: Seen, found: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Address and path of the page, and the link that was clicked."""
    page = seen.page if isinstance(seen.page, dict) else _EMPTY
    link = web_url(found["link"]) if "link" in found else None
    if signal == "email.clicked":
        # In a mail there is no page: whatever address there is, is the link.
        return None, None, link or web_url(found.get("url")) or web_url(page.get("url"))
    url = web_url(found["url"]) if "url" in found else None
    if url is None and page:
        url = web_url(page.get("url"))
    path = path_of(found.get("path") or page.get("path"), url)
    return url, path, link


def _facts(seen: Seen) -> tuple[dict[str, Any] | None, dict[str, Any] | None, msgspec.Raw]:
    """Person, company, and what the traits hold beyond that (when it does not fit into plain facts)."""
    traits: dict[str, Any] = {}
    account: dict[str, Any] = {}
    rest = NO_PROPERTIES
    if seen.traits:
        traits, account, left_out = person_traits(seen.traits)
        if left_out and not seen.properties_raw:
            rest = msgspec.Raw(_encoder.encode(seen.traits))
    if seen.account:
        account |= company_facts(seen.account)
    group = clean_text(seen.account_id, ID_MAX)
    if group is not None:
        account.setdefault("id", group)
    return traits or None, account or None, rest


def _message_id(seen: Seen, found: Mapping[str, Any]) -> str | None:
    return clean_text(seen.message_id, ID_MAX) or clean_text(found.get("message"), ID_MAX)


def _campaign(seen: Seen, found: Mapping[str, Any]) -> str | None:
    given = seen.campaign
    if isinstance(given, Mapping):
        given = given.get("name")
    return clean_text(given if given is not None else found.get("campaign"), NAME_MAX)


def _ip(value: object) -> str | None:
    return clean_ip(value) if isinstance(value, str) and len(value) < 64 else None


def _user_agent(seen: Seen, found: Mapping[str, Any], facts: Facts) -> str | None:
    given = seen.user_agent if seen.user_agent is not None else found.get("user_agent")
    if given is None and facts.trust == "publishable":
        given = facts.user_agent
    return given[:TEXT_MAX] if isinstance(given, str) and given else None


def _name(value: object, signal: str) -> str | None:
    """The name in the source's words; left out where it says no more than the signal."""
    if not isinstance(value, str):
        return None
    name = value.strip()
    return name[:NAME_MAX] if name and name != signal else None


def _event_id(seen: Seen) -> str:
    given = seen.id
    if type(given) is str and 0 < len(given) <= ID_MAX and given.isprintable() and "\ufffd" not in given:
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)[:ID_MAX]
    if isinstance(given, str) and given:
        return "h-" + blake2b(given.encode(), digest_size=16).hexdigest()
    return "h-" + _hash(seen)


def _hash(seen: Seen) -> str:
    """A name for an event that has none: its content, without what changes from try to try."""
    body = seen.raw
    try:
        content = _any.decode(seen.raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        content = None  # a binary CloudEvent: its bytes are what it is
    if isinstance(content, dict):
        body = _encoder.encode({key: value for key, value in content.items() if key not in seen.volatile})
    return blake2b(body, digest_size=16).hexdigest()


def known(signal: str) -> bool:
    """Whether the signal is one of ours (else a company's own: never a metric label)."""
    return signal in SIGNALS


def required(value: object, what: str) -> Mapping[str, Any] | None:
    """A JSON object or None when absent.

    Raises:
        BadItem: `wrong_type`.
    """
    if value is None or isinstance(value, Mapping):
        return value
    raise BadItem("wrong_type", f"{what} must be an object, not {type(value).__name__}")

"""Which signals exist: the event kinds that every part of the system knows by name and number."""

from typing import Final

# The number is part of stored state (scoring counters): never renumber, never reuse. 1..63 are ours; 64..254 are
# given to a company's own signals as its policy names them; 255 is everything that no policy names.
SIGNALS: Final[dict[str, int]] = {
    "email.delivered": 1,
    "email.opened": 2,
    "email.clicked": 3,
    "email.replied": 4,
    "email.bounced": 5,
    "email.unsubscribed": 6,
    "email.complained": 7,
    "page.viewed": 8,
    "form.submitted": 9,
    "demo.requested": 10,
    "content.downloaded": 11,
    "webinar.registered": 12,
    "webinar.attended": 13,
    "meeting.booked": 14,
    "meeting.canceled": 15,
    "product.signed_up": 16,
    "person.identified": 17,
    "person.deleted": 18,
    "account.updated": 19,
    "deal.won": 20,
    "deal.lost": 21,
}
FIRST_CUSTOM_SIGNAL: Final = 64
OTHER_SIGNAL: Final = 255
SIGNAL_MAX: Final = 100  # characters of a company's own signal

TYPE_PREFIX: Final = "leadrouter."
TYPE_SUFFIX: Final = ".v1"


def event_type(signal: str) -> str:
    """The CloudEvents type of a signal: `page.viewed` is `leadrouter.page.viewed.v1`."""
    return f"{TYPE_PREFIX}{signal}{TYPE_SUFFIX}"


def signal_of(event_type_: str) -> str | None:
    """The signal in a CloudEvents type of ours, or None when the type is somebody else's."""
    if event_type_.startswith(TYPE_PREFIX) and event_type_.endswith(TYPE_SUFFIX):
        return event_type_[len(TYPE_PREFIX) : -len(TYPE_SUFFIX)] or None
    return None

"""Which signal is meant? Event names as clients spell them, blind to case and separators."""

import re
from collections.abc import Mapping
from typing import Final

from schemas.signals import SIGNAL_MAX, SIGNALS
from services.ingest.core.limits import NAME_MAX, BadItem

_NOT_WORD = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Bounded, since names come from outside.
_CACHE_MAX: Final = 10_000

# What Segment's semantic events, RudderStack, Customer.io, HubSpot, Marketo and PostHog users call them.
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "email.delivered": ("Email Delivered", "Delivered Email", "Message Delivered"),
    "email.opened": ("Email Opened", "Opened Email", "Email Open", "Open Email"),
    "email.clicked": (
        "Email Clicked", "Email Link Clicked", "Clicked Email", "Email Click", "Click Email", "Clicked Link in Email",
        "Link Clicked in Email", "Email Clickthrough",
    ),
    "email.replied": ("Email Replied", "Replied to Email", "Email Reply", "Email Reply Received", "Reply Received"),
    "email.bounced": ("Email Bounced", "Email Bounce", "Bounced Email", "Email Hard Bounced", "Hard Bounce"),
    "email.unsubscribed": ("Email Unsubscribed", "Unsubscribed", "Unsubscribe", "Email Unsubscribe"),
    "email.complained": (
        "Email Complained", "Email Marked as Spam", "Marked Email as Spam", "Spam Complaint", "Spam Report",
        "Spam Reported",
    ),
    "page.viewed": (
        "Page Viewed", "Viewed Page", "Page View", "Pageview", "Loaded a Page", "Visited Page", "Page Visited",
        "Screen Viewed", "Viewed Screen", "Web Page Visited",
    ),
    "form.submitted": (
        "Form Submitted", "Submitted Form", "Form Submit", "Form Submission", "Form Completed", "Completed Form",
        "Form Filled", "Form Filled Out", "Filled Out Form", "Contact Form Submitted", "Lead Form Submitted",
    ),
    "demo.requested": (
        "Demo Requested", "Requested Demo", "Requested a Demo", "Demo Request", "Request Demo", "Request a Demo",
        "Demo Request Submitted", "Demo Form Submitted", "Contact Sales", "Contacted Sales", "Sales Contact Requested",
        "Book a Demo",
    ),
    "content.downloaded": (
        "Content Downloaded", "Downloaded Content", "Content Download", "File Downloaded", "Downloaded File",
        "Document Downloaded", "Whitepaper Downloaded", "White Paper Downloaded", "Downloaded Whitepaper",
        "Ebook Downloaded", "Downloaded Ebook", "Guide Downloaded", "Brochure Downloaded", "Resource Downloaded",
        "Asset Downloaded", "Case Study Downloaded",
    ),
    "webinar.registered": (
        "Webinar Registered", "Registered for Webinar", "Webinar Registration", "Webinar Signup", "Webinar Sign Up",
        "Signed Up for Webinar",
    ),
    "webinar.attended": ("Webinar Attended", "Attended Webinar", "Webinar Joined", "Joined Webinar", "Webinar Attendance"),
    "meeting.booked": (
        "Meeting Booked", "Booked Meeting", "Booked a Meeting", "Meeting Scheduled", "Scheduled Meeting", "Call Booked",
        "Call Scheduled", "Invitee Created", "Demo Booked", "Demo Scheduled",
    ),
    "meeting.canceled": (
        "Meeting Canceled", "Meeting Cancelled", "Canceled Meeting", "Cancelled Meeting", "Call Canceled",
        "Call Cancelled", "Invitee Canceled",
    ),
    "product.signed_up": (
        "Product Signed Up", "Signed Up", "Sign Up", "Signup", "User Signed Up", "Sign Up Completed", "User Signup",
    ),
    "person.identified": (
        "Person Identified", "Contact Created", "Contact Updated", "Lead Created", "Lead Updated", "Person Created",
        "Person Updated", "User Identified",
    ),
    "person.deleted": ("Person Deleted", "Contact Deleted", "User Deleted", "Lead Deleted", "Contact Privacy Deletion"),
    "account.updated": ("Account Updated", "Company Updated", "Company Created", "Organization Updated"),
    "deal.won": ("Deal Won", "Won Deal", "Opportunity Won", "Closed Won", "Deal Closed Won"),
    "deal.lost": ("Deal Lost", "Lost Deal", "Opportunity Lost", "Closed Lost", "Deal Closed Lost"),
}  # fmt: skip


def fold(name: str) -> str:
    """The name without case and separators: `Email Opened`, `email_opened` and `emailOpened` are one."""
    return _NOT_WORD.sub("", name).casefold()


def custom_signal(name: str) -> str:
    """A name that is none of ours as a signal of its own: `Song Played` is `song_played`.

    It is cut where scoring reads no further: a policy knows so long a name by its own words (`name:`), which are kept.

    Raises:
        BadItem: `no_name` when nothing is left of it, `name_too_long`.
    """
    if len(name) > NAME_MAX:
        raise BadItem("name_too_long", f"the event's name has {len(name)} characters; at most {NAME_MAX} are read")
    made = _NOT_WORD.sub("_", _CAMEL.sub("_", name)).strip("_").casefold()[:SIGNAL_MAX].rstrip("_")
    if not made:
        raise BadItem("no_name", "the event has no name")
    return made


NAMED: Final[dict[str, str]] = {
    **{fold(signal): signal for signal in SIGNALS},
    **{fold(name): signal for signal, names in NAMES.items() for name in names},
}


class Speller:
    """Names to signals. Built once per policy version.

    Args:
        extra: The company's own spellings, name to signal; they go before ours.
    """

    def __init__(self, extra: Mapping[str, str] | None = None) -> None:
        self._known = {**NAMED, **{fold(name): signal for name, signal in (extra or {}).items()}}
        self._cache: dict[str, str] = {}

    def signal(self, name: object) -> str:
        """The signal that `name` means; a custom one when nobody knows the name.

        Raises:
            BadItem: `no_name`, `name_too_long`.
        """
        if not isinstance(name, str):
            raise BadItem("no_name", "the event has no name")
        found = self._cache.get(name)
        if found is None:
            found = self._known.get(fold(name[:NAME_MAX])) or self._of_type(name) or custom_signal(name)
            if len(self._cache) >= _CACHE_MAX:
                self._cache.clear()
            self._cache[name] = found
        return found

    def known(self, name: object) -> str | None:
        """The signal that `name` means when somebody knows the name, else None."""
        return self._known.get(fold(name[:NAME_MAX])) if isinstance(name, str) else None

    def _of_type(self, name: str) -> str | None:
        """`com.example.email.opened`: a reverse domain before a name that we know."""
        parts = name[:NAME_MAX].split(".")
        return self._known.get(fold("".join(parts[-2:]))) if len(parts) > 2 else None

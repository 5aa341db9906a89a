"""Which clicks of a mail were a scanner's? Judged together, from everything known of the mail, in any order.

The verdict is a pure function of a set: when the mail was delivered, and all clicks. Evidence that comes later changes
earlier verdicts; the caller applies the difference to the counters.
"""

from typing import Final

import msgspec

from services.scoring.core.actor import WHOLE, verdict_code

# A person does not open three links of a mail within 3 s; Marketo's proximity rule uses 0 to 3 s (SCIENCE.md 4.2).
BURST_MS: Final = 3000
BURST_LINKS: Final = 3
# Gateways click at delivery, some before the delivery is reported.
DELIVERY_MS: Final = 2000
BEFORE_DELIVERY_MS: Final = 5000
# A single click so soon after delivery is doubtful: it counts little and pages nobody (SCIENCE.md 4.3).
DOUBT_MS: Final = 10_000
DOUBT_WEIGHT: Final = 300
# A link that people cannot see was clicked: so near to it nobody's clicks are a person's. Scanners take seconds to a minute
# for the links of a mail; a wider window would take the clicks of somebody who reads the mail soon after.
TRAP_MS: Final = 60_000
TRAPPED: Final = verdict_code("machine", "honeypot")

MAILS_MAX: Final = 8
NAME_MAX: Final = 200
CLICKS_MAX: Final = 24


class Click(msgspec.Struct, array_like=True):
    """One click as evidence.

    Attributes:
        link: Hash of the target.
        counters: Keys of the counters that it was counted in.
        base, verdict: What it counts by itself.
        weight: What it counts now.
    """

    at: int
    id: bytes
    link: int
    counters: list[int]
    base: int
    verdict: int
    weight: int


class Mail(msgspec.Struct, array_like=True):
    """What is known of one message to one profile.

    Attributes:
        delivered: The earliest report, Unix ms.
        last: The newest evidence, Unix ms.
    """

    delivered: int | None = None
    clicks: list[Click] = []
    last: int = 0


Mails = dict[str, Mail]
_decoder: Final = msgspec.msgpack.Decoder(Mails)
_encoder: Final = msgspec.msgpack.Encoder()


def unpack(packed: bytes | None) -> Mails:
    """Evidence as stored; nothing stored is no evidence."""
    return _decoder.decode(packed) if packed else {}


def pack(mails: Mails) -> bytes | None:
    """Evidence for storing."""
    return _encoder.encode(mails) if mails else None


def alone(mail: Mail, click: Click) -> tuple[int, int]:
    """`judged` for the only click of a mail."""
    return _verdict(mail, click, None)


def judged(mail: Mail) -> list[tuple[int, int]]:
    """For each click, in the order of `mail.clicks`: (thousandths that it counts, verdict number)."""
    clicks = mail.clicks
    order = sorted(range(len(clicks)), key=lambda n: (clicks[n].at, clicks[n].id))
    machine: dict[int, str] = {}
    for first in range(len(order)):
        start = clicks[order[first]].at
        near = [n for n in order[first:] if clicks[n].at - start <= BURST_MS]
        if len({clicks[n].link for n in near}) >= BURST_LINKS:
            machine.update(dict.fromkeys(near, "burst"))
    for cluster in _clusters(mail, order):
        if len(cluster) > 1 and any(_at_delivery(mail, clicks[n], DELIVERY_MS) for n in cluster):
            for n in cluster:
                machine.setdefault(n, "delivered_burst")
    for trap in [click.at for click in clicks if click.verdict == TRAPPED]:
        machine.update((n, "honeypot") for n, click in enumerate(clicks) if abs(click.at - trap) <= TRAP_MS)
    return [_verdict(mail, click, machine.get(n)) for n, click in enumerate(clicks)]


def _clusters(mail: Mail, order: list[int]) -> list[list[int]]:
    clusters: list[list[int]] = []
    for n in order:
        if clusters and mail.clicks[n].at - mail.clicks[clusters[-1][-1]].at <= BURST_MS:
            clusters[-1].append(n)
        else:
            clusters.append([n])
    return clusters


def _at_delivery(mail: Mail, click: Click, within_ms: int) -> bool:
    return mail.delivered is not None and -BEFORE_DELIVERY_MS <= click.at - mail.delivered <= within_ms


def _verdict(mail: Mail, click: Click, machine: str | None) -> tuple[int, int]:
    if machine is not None and click.base:
        return 0, verdict_code("machine", machine)
    if 0 < click.base < WHOLE and _at_delivery(mail, click, DOUBT_MS):
        return min(click.base, DOUBT_WEIGHT), verdict_code("unknown", "too_fast")
    return click.base, click.verdict


def bounded(mails: Mails) -> None:
    """Keep the newest evidence, so that a profile's row stays small. What is dropped keeps its last verdict.

    Done when a profile is stored; an event about a mail dropped before is judged without it.
    """
    if len(mails) > MAILS_MAX:
        for _, name in sorted([(mail.last, name) for name, mail in mails.items()])[:-MAILS_MAX]:
            del mails[name]


def bounded_clicks(mail: Mail) -> None:
    """Keep the newest clicks of a mail, and those of links that nobody can see."""
    if len(mail.clicks) > CLICKS_MAX:
        mail.clicks.remove(min(mail.clicks, key=lambda click: (click.verdict == TRAPPED, click.at, click.id)))

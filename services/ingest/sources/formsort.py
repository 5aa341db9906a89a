"""Formsort's webhooks: the answers of one responder, signed over the raw body (URL-safe base64 without padding).

Source: https://docs.formsort.com/handling-data/getting-data-out/signed-requests
"""

from collections.abc import Iterable
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.answers import facts
from services.ingest.sources.hooks import Item, Told, hook, ident, joined
from services.ingest.sources.signatures import over_body


def read(item: Item) -> Iterable[Seen | Told]:
    """One responder's answers. Until they are final they are no submission."""
    if not item.flag("finalized"):
        yield Told("partial")
        return
    answers = item.sub("answers")
    traits = facts(answers.of.items())
    yield Seen(
        raw=item.raw,
        otherwise="form.submitted",
        name=item.text("flow_label"),
        id=joined(item.text("responder_uuid"), item.text("variant_uuid"), "finalized"),
        time=item.first("finalized_at", "submitted_at", "created_at"),
        emails=(answers.get("email"), traits.get("email")),
        anonymous=ident(item.get("responder_uuid")),
        traits=traits,
        campaign=answers.text("utm_campaign"),
    )


PLATFORM: Final = hook("formsort", read, verify=over_body("X-Formsort-Signature", "sha256", "base64url"))

"""Typeform's webhooks: one response a request, signed over the raw body.

Source: https://www.typeform.com/developers/webhooks/
"""

from collections.abc import Iterable
from typing import Any, Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.answers import facts
from services.ingest.sources.hooks import Item, Told, hook, ident
from services.ingest.sources.signatures import over_body

_USER: Final = ("user_id", "userid", "uid")


def read(item: Item) -> Iterable[Seen | Told]:
    """One response. A response that was left half-way is none."""
    kind = item.needed("event_type")
    if kind != "form_response":
        yield Told(kind)
        if kind == "form_response_partial":
            return
    response = item.sub("form_response")
    hidden = response.sub("hidden")
    questions = {field.text("id"): field for field in (Item(one) for one in response.list("definition", "fields"))}
    answered: list[tuple[object, Any]] = []
    emails: list[object] = []
    for entry in response.list("answers"):
        answer = Item(entry)
        value = _value(answer)
        asked = questions.get(answer.text("field", "id"), Item({}))
        if answer.text("type") == "email":
            emails.append(value)
        elif answer.text("type") == "phone_number":
            answered.append(("phone", value))
        else:
            reference = answer.text("field", "ref") or asked.text("ref")
            answered += [(reference, value), (asked.text("title"), value)]
    traits = facts(answered) | {name: value for name, value in facts(hidden.of.items()).items() if name != "email"}
    yield Seen(
        raw=item.raw,
        signal=None,
        otherwise="form.submitted" if kind == "form_response" else None,
        name=response.text("definition", "title") if kind == "form_response" else kind,
        id=response.text("token") or item.text("event_id"),
        time=response.get("submitted_at"),
        emails=(*emails, hidden.get("email"), traits.get("email")),
        user=next((found for name in _USER if (found := ident(hidden.get(name)))), None),
        traits=traits,
        campaign=hidden.text("utm_campaign"),
    )


def _value(answer: Item) -> Any:
    """The answer of any type, by the name of its type."""
    kind = answer.text("type") or ""
    if kind == "choice":
        return answer.get("choice", "label") or answer.get("choice", "other")
    if kind == "choices":
        return list(answer.list("choices", "labels"))
    return answer.get(kind)


PLATFORM: Final = hook("typeform", read, verify=over_body("Typeform-Signature", "sha256", "base64", "sha256="))

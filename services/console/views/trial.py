"""A trial's answer in words: what would happen, why, and what is missing. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from services.console.filters import words
from services.console.views.inbox import reflow
from services.router.api.trial import Outcome

ALERTS: Final[Mapping[str, str]] = {
    "visiting_now": "on the site now",
    "opened": "opened a mail",
    "clicked": "clicked or replied",
}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome, ready to draw. `tone`: sales, marketing or end."""

    headline: str
    tone: str
    facts: list[tuple[str, str]]
    reasons: list[str]
    missing: list[str]
    fit: list[tuple[str, str]]
    parts: list[tuple[str, float]]
    candidates: list[tuple[str, bool]]
    alert: str | None
    subject: str | None
    body: str | None
    language: str | None


def shown(outcome: Outcome, names: Mapping[str, str]) -> Shown:
    """An outcome in words.

    Args:
        names: Rep id to name.
    """

    def name(rep: str | None) -> str:
        return names.get(rep or "", rep or "nobody")

    alert = None
    if outcome.alerts and outcome.told:
        kinds = ", ".join(ALERTS.get(kind, words(kind)) for kind in outcome.alerts)
        alert = f"{name(outcome.told)} would be told at once: {kinds}"
    elif outcome.alerts:
        alert = "Worth telling at once, but the account has no owner and the lead no rep"
    lacks = [reason.text for reason in outcome.counterfactual]
    headline, tone = _headline(outcome, name(outcome.assignee))
    return Shown(
        headline=headline,
        tone=tone,
        facts=[
            ("Segment", outcome.segment or "none"),
            ("Stage", words(outcome.stage)),
            ("Engagement", f"{outcome.engagement:g}"),
            ("Fit", f"{outcome.grade or '–'}{f' ({outcome.fit:g})' if outcome.fit is not None else ''}"),
        ],
        reasons=[reason.text for reason in outcome.reasons if reason.text not in lacks],
        missing=lacks,
        fit=[(reason.text, "" if reason.points is None else f"{reason.points:+g}") for reason in outcome.fit_reasons],
        parts=[(words(signal), points) for signal, points in outcome.parts],
        candidates=[(one.text, one.chosen) for one in outcome.candidates],
        alert=alert,
        subject=outcome.say.subject if outcome.say else None,
        body=reflow(outcome.say.body) if outcome.say else None,
        language=outcome.say.language if outcome.say else None,
    )


def _headline(outcome: Outcome, rep: str) -> tuple[str, str]:
    if outcome.stage == "customer":
        return "A customer already", "end"
    if outcome.stage == "disqualified":
        return "Ruled out for good", "end"
    if outcome.handover:
        if outcome.assignee is None:
            return "Due for a human, but nobody can take it now", "sales"
        return f"Handed over to {rep}", "sales"
    if outcome.assignee is not None:
        return f"Stays with {rep}", "sales"
    track = words(outcome.track or "nurture")
    return f"Marketing goes on: {track}", "marketing"

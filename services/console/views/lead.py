"""A lead, an account, a list of leads: answers of the rooms → plain data for the templates. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from markupsafe import Markup

from services.console.charts import Mark, Series, legend, line, responsive
from services.console.filters import ago, clock, instant, words
from services.console.views.inbox import DECLINES, DID
from services.notify.core.words import path_of
from services.policy.core.policy import Policy, SignalRule
from services.policy.core.score import curve, day_of, engagement, ms_of

THOUSAND: Final = 1000
HISTORY_DAYS: Final = 60
SAMPLES: Final = 60
MACHINE: Final[dict[str, str]] = {
    "source_says": "the source says: a machine",
    "scanner_agent": "a mail scanner",
    "bare_agent": "the mail program's own fetching",
    "prefetch_agent": "fetched ahead by the mail program",
    "crawler_agent": "a crawler",
    "image_proxy": "through an image proxy",
    "burst": "many links at once: a scanner",
    "delivered_burst": "all links right after delivery: a scanner",
    "too_fast": "too fast after delivery for a person",
    "flood": "more than a person can do",
    "too_old": "older than what counts",
    "clock_ahead": "the sender's clock is ahead",
    "tool_agent": "a program, no browser",
    "apple_egress": "Apple's mail privacy",
    "honeypot": "a link that nobody can see",
}
TRIGGERS: Final[dict[str, str]] = {
    "scored": "something happened",
    "timer.snooze": "a snooze ended",
    "timer.retry": "looked again",
    "timer.reassign": "not answered in time",
    "timer.decay": "time went by",
    "timer.cooldown": "its rest was over",
}
TOLD: Final[dict[str, str]] = {
    "handover": "it is theirs to answer",
    "visiting_now": "on the site now",
    "opened": "opened a mail",
    "clicked": "clicked a link",
    "you_missed": "what was missed",
    "due": "a reminder",
}
LOSSES: Final[tuple[tuple[str, str], ...]] = (
    ("no_budget", "No budget"), ("not_now", "Not now"), ("competitor", "Competitor"), ("no_reply", "No reply"), ("other", "Other"),
)  # fmt: skip


# How an offer ended, in the words of the buttons that end it.
ENDED: Final[dict[str, str]] = {
    **{code: name.lower() for code, name in (*DECLINES, *LOSSES)},
    "sla_reassign": "not answered in time",
}


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a timeline. `struck`: counted at first, taken back since, or never counted."""

    at: str
    ago: str
    when: str
    did: str
    where: str
    by: str
    machine: bool
    struck: bool
    why: str
    worth: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One decision."""

    id: str
    n: int
    at: str
    when: str
    trigger: str
    outcome: str
    reasons: list[str]
    missing: list[str]
    candidates: list[tuple[str, bool]]
    policy_version: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One lead of a list."""

    id: str
    name: str
    about: str
    grade: str | None
    score: int
    stage: str
    segment: str | None
    who: str
    state: str
    at: str
    ago: str


def moments(items: Sequence[Mapping[str, Any]], now: datetime, zone: str, policy: Policy | None = None) -> list[Moment]:
    """A timeline, newest first, as scoring tells it."""
    return [_moment(item, now, zone, policy) for item in items]


def _moment(item: Mapping[str, Any], now: datetime, zone: str, policy: Policy | None) -> Moment:
    at = instant(item["occurred_at"])
    reason = next(iter(item.get("reasons") or ()), "")
    machine = item.get("state") == "machine"
    counts = item.get("state") == "scored" and item.get("human", 1.0) > 0
    points = sum(rule.points for rule in _rules(item, policy)) * item.get("human", 1.0) if policy is not None else 0.0
    signal = item.get("signal") or ""
    where = path_of(item.get("link") or item.get("url") or "") or item.get("path") or ""
    return Moment(
        at=at.isoformat(timespec="seconds"),
        ago=ago(at, now),
        when=clock(at, zone),
        did=DID.get(signal)
        or (item.get("name") if signal.startswith("custom") else None)
        or words(signal or item.get("name") or "something"),
        where=where,
        by=f"{item['identifier']['kind']} {item['identifier']['value'][:60]}" if item.get("identifier") else "",
        machine=machine,
        struck=not counts,
        why=MACHINE.get(reason, words(reason)) if reason else "a machine" if machine else "",
        worth=f"{points:+.0f}" if counts and points else "",
    )


def _rules(item: Mapping[str, Any], policy: Policy) -> tuple[SignalRule, ...]:
    signal = item.get("signal")
    if not signal:
        return ()
    return policy.counted(signal, item.get("path"), item.get("name"), item.get("link") or item.get("url"))


def steps(decisions: Sequence[Mapping[str, Any]], names: Mapping[str, str], zone: str) -> list[Step]:
    """The decision path, newest first."""
    found = []
    for one in decisions:
        who = names.get(one["assignee"] or "", one["assignee"])
        to = who or (words(one["track"]) if one["track"] else None) or "nobody yet"
        trigger = one["trigger"]
        found.append(
            Step(
                id=one["id"],
                n=one["n"],
                at=one["at"],
                when=clock(one["at"], zone),
                trigger=TRIGGERS.get(trigger) or words(trigger.removeprefix("timer.").removeprefix("command.")),
                outcome=f"{words(one['stage'])} → {to}",
                reasons=[r["text"] for r in one["reasons"]],
                missing=[r["text"] for r in one["counterfactual"]],
                candidates=[(c["text"], bool(c.get("chosen"))) for c in one["candidates"]],
                policy_version=one["policy_version"],
            )
        )
    return found


def score_history(items: Sequence[Mapping[str, Any]], policy: Policy, now: datetime) -> list[tuple[datetime, float]]:
    """Engagement over the last days, as the policy in force counts what the timeline holds; oldest first.

    Args:
        items: Timeline items; what is older than they reach is not in the line.
    """
    counted = [
        (instant(item["occurred_at"]), rule, round(item.get("human", 1.0) * THOUSAND))
        for item in items
        if item.get("state") == "scored"
        for rule in _rules(item, policy)
    ]
    if not counted:
        return []
    oldest = max(min(at for at, _, _ in counted), now - timedelta(days=HISTORY_DAYS))
    first = oldest - timedelta(days=1)
    step = (now - first) / SAMPLES
    at_times = sorted(
        {first + step * n for n in range(SAMPLES + 1)} | {at for at, _, _ in counted if at >= first} | {now}
    )
    return [(at, _engagement_at(counted, at)) for at in at_times]


def _engagement_at(counted: Sequence[tuple[datetime, SignalRule, int]], at: datetime) -> float:
    parts = curve(((rule, day_of(when), weight) for when, rule, weight in counted if when <= at), ms_of(at))
    return round(engagement(parts, at, at).score, 1)


def chart(history: Sequence[tuple[datetime, float]], marks: Sequence[Mark] = (), zone: str = "UTC") -> Markup:
    """The score history as a picture and a table, in days and hours of `zone`."""
    top = max([100.0, *(score for _, score in history)])
    series = [Series(name="engagement", points=history, tone=1, area=True)]
    last = history[-1][1] if history else 0
    said = f"Engagement over time: now {last:g}, highest {max((s for _, s in history), default=0):g}"
    days: dict[str, float] = {}
    there = ZoneInfo(zone)
    for at, score in history:
        local = at.astimezone(there)
        days[f"{local.day} {local:%b}"] = score
    rows = [(name, f"{score:g}") for name, score in reversed(days.items())]
    return legend([("engagement", 1)]) + responsive(
        lambda size: line(series, size, label=said, high=top, marks=marks, zone=there), ("Day", "Engagement"), rows
    )


def marks_of(decisions: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """The engagement that the newest decision says is missing, as a level of the chart."""
    missing = decisions[0]["counterfactual"] if decisions else []
    found = [
        r for r in missing if "engagement" in f"{r['code']} {r['text']}" and isinstance(r.get("limit"), int | float)
    ]
    return [Mark(float(r["limit"]), f"next stage {r['limit']:g}") for r in found[:1]]


def lines(
    leads: Sequence[Mapping[str, Any]], names: Mapping[str, str], now: datetime, *, company: bool = True
) -> list[Line]:
    """Leads as the rows of a list. `company=False`: they are all of one, which the page names already."""
    return [_line(one, names, now, company=company) for one in leads]


def _line(one: Mapping[str, Any], names: Mapping[str, str], now: datetime, *, company: bool) -> Line:
    account, name = one["account"] or {}, called(one)
    at = (account.get("name") or account.get("domain") or "") if company else ""
    held = one["assignment"]
    who = names.get(one["assignee"] or "", one["assignee"]) or (words(one["track"]) if one["track"] else "nobody yet")
    return Line(
        id=one["id"],
        name=name,
        about=", ".join(part for part in (one["title"], at if at not in name else "") if part),
        grade=one["fit"]["grade"] if one["fit"] else None,
        score=round(one["engagement"]["score"]),
        stage=words(one["stage"]),
        segment=one["segment"],
        who=who,
        state=held["state"] if held else "",
        at=one["updated_at"],
        ago=ago(one["updated_at"], now),
    )


def called(lead: Mapping[str, Any]) -> str:
    """The name of a lead for a page."""
    account = lead["account"] or {}
    company = account.get("name") or account.get("domain")
    return lead["name"] or lead["email"] or (f"Somebody from {company}" if company else "Somebody")


def standing(lead: Mapping[str, Any], names: Mapping[str, str], zone: str) -> str:
    """Who works the lead now, in one sentence."""
    held = lead["assignment"]
    if held is not None:
        who = names.get(held["rep"], held["rep"])
        return f"{who} has accepted it" if held["state"] == "accepted" else f"offered to {who}"
    if lead["assignee"]:
        return f"with {names.get(lead['assignee'], lead['assignee'])}"
    if lead["cooldown_until"]:
        return f"rests until {clock(lead['cooldown_until'], zone)}"
    if lead["waiting_until"]:
        return f"waits until {clock(lead['waiting_until'], zone)}"
    return f"nurture, {words(lead['track'])}" if lead["track"] else "nobody yet"

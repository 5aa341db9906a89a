"""Why did this lead go there? The whole path as text: events, score, segment, stage, decision, candidates, answers."""

from collections.abc import Mapping
from typing import Any


def render(path: Mapping[str, Any]) -> str:
    """The path of one lead in words, newest decision first.

    Args:
        path: As `Explainer.path` of the API gives it.
    """
    lead = path["lead"]
    who = lead.get("name") or lead.get("email") or lead["id"]
    lines = [f"{who}{_at(lead)}", *_standing(lead), ""]
    for decision in path["decisions"]:
        lines += [*_decision(decision), ""]
    if path["assignments"]:
        lines.append("Handovers")
        lines += [f"  {_assignment(one)}" for one in path["assignments"]]
    return "\n".join(lines).rstrip() + "\n"


def _at(lead: Mapping[str, Any]) -> str:
    account = lead.get("account") or {}
    company = account.get("name") or account.get("domain")
    return (
        f" <{lead['email']}>{f', {company}' if company else ''}"
        if lead.get("email")
        else f"{f', {company}' if company else ''}"
    )


def _standing(lead: Mapping[str, Any]) -> list[str]:
    fit = lead.get("fit") or {}
    engagement = lead.get("engagement") or {}
    parts = ", ".join(f"{part['signal']} {part['points']}" for part in engagement.get("parts", ()))
    lines = [
        f"  segment {lead.get('segment') or 'none'}, stage {lead['stage']}, route {lead['route']}"
        + (f", with {lead['assignee']}" if lead.get("assignee") else f", track {lead.get('track') or 'none'}"),
        f"  engagement {engagement.get('score', 0)}" + (f" ({parts})" if parts else ""),
        f"  fit {fit.get('grade') or 'unknown'} ({fit.get('score', 0)})",
    ]
    lines += [f"    {reason['text']}" for reason in fit.get("reasons", ())]
    if lead.get("cadence"):
        lines.append(f"  {_cadence(lead['cadence'])}")
    if lead.get("cooldown_until"):
        lines.append(f"  rests until {lead['cooldown_until']}")
    if lead.get("waiting_until"):
        lines.append(f"  waits until {lead['waiting_until']}: {lead.get('waiting_reason')}")
    return lines


def _cadence(one: Mapping[str, Any]) -> str:
    following = one["next"]
    if one["ended"]:
        where = f"ended: {one['ended']}"
    elif following is None:
        where = "nothing more"
    else:
        where = f"next {following['do']} (day {following['day']}), {following['at'] or 'when the rep is back'}"
    return f"cadence {one['name']}, {one['step']} of {one['steps']} steps told; {where}"


def _decision(decision: Mapping[str, Any]) -> list[str]:
    to = decision.get("assignee") or decision.get("track") or "nobody yet"
    lines = [
        f"Decision {decision['n']}, {decision['at']}: {decision['route']} to {to}"
        f" (policy version {decision['policy_version']}, {decision['trigger']})"
    ]
    lines += [f"  because  {reason['text']}" for reason in decision["reasons"]]
    lines += [f"  missing  {reason['text']}" for reason in decision["counterfactual"]]
    lines += [f"  {'chosen ' if c.get('chosen') else 'skipped'}  {c['text']}" for c in decision["candidates"]]
    if decision["causes"]:
        lines.append(f"  events   {', '.join(decision['causes'])}")
    return lines


def _assignment(one: Mapping[str, Any]) -> str:
    ended = f", {one['reason']}" if one.get("reason") else ""
    answered = f", accepted {one['accepted_at']}" if one.get("accepted_at") else ""
    return f"{one['offered_at']}: {one['rep']} ({one['via']}), {one['state']}{answered}{ended}"

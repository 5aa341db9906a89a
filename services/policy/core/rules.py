"""What a model cannot say: settings that must fit each other."""

from collections.abc import Iterator

from schemas.signals import SIGNALS
from services.policy.core import model
from services.policy.core.cadence import hours_of
from services.policy.core.document import Document
from services.policy.core.problems import Problem, did_you_mean
from services.policy.core.template import wrong_in
from services.policy.core.words import WINDOWED, spelling_key

MOST_OPEN_POINTS = 1.0  # an open says next to nothing: scanners and mail privacy make most of them
_OPEN = "email.opened"


def check_rules(document: Document, file: model.PolicyFile) -> list[Problem]:
    """Everything that does not fit together."""
    return [
        *_signals(document, file),
        *_segments(document, file),
        *_people(document, file),
        *_templates(document, file),
        *_cadences(document, file),
        *_alerts(document, file),
        *_rest(document, file),
    ]


def _signals(document: Document, file: model.PolicyFile) -> Iterator[Problem]:
    known = [*SIGNALS, *file.signals]
    for name, signal in file.signals.items():
        loc = ("signals", name)
        if WINDOWED.match(name):
            yield document.problem(
                loc, f'the end of "{name}" would be read as a number of days', "choose another name", key=True
            )
        if name in SIGNALS and (signal.of or signal.path_segment or signal.url_contains or signal.name):
            yield document.problem(
                loc,
                f"{name} is built in and cannot be narrowed",
                "give the special case a name of its own, with `of`",
                key=True,
            )
        elif signal.of is not None:
            base = file.signals.get(signal.of)
            if signal.of not in known:
                yield document.problem(
                    (*loc, "of"), f'there is no signal "{signal.of}"', did_you_mean(signal.of, known)
                )
            elif signal.of == name or (base is not None and base.of):
                yield document.problem(
                    (*loc, "of"), f'"{signal.of}" is a special case itself', "name the signal that events carry"
                )
        elif signal.path_segment or signal.url_contains:
            yield document.problem(loc, "say of which signal this is a special case", "add `of: page.viewed`", key=True)
        if _OPEN in (name, signal.of) and signal.points > MOST_OPEN_POINTS:
            message = f"an open may count {MOST_OPEN_POINTS:g} point at most"
            yield document.problem((*loc, "points"), message, "most opens are made by machines")


def _segments(document: Document, file: model.PolicyFile) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, segment in enumerate(file.segments):
        loc = ("segments", index)
        if segment.name in seen:
            yield document.problem((*loc, "name"), f'there are two segments "{segment.name}"')
        seen.add(segment.name)
        if segment.handover_at not in file.stages:
            message = f"the stage {segment.handover_at} has no condition"
            yield document.problem((*loc, "handover_at"), message, "write one under `stages`")
        if segment.shop_when is not None and segment.shop_url is None:
            yield document.problem((*loc, "shop_when"), "there is no shop_url to show")
        if segment.handover_to == "self_serve" and segment.shop_url is None:
            yield document.problem((*loc, "handover_to"), "self_serve needs a shop", "add shop_url")


def _people(document: Document, file: model.PolicyFile) -> Iterator[Problem]:
    roles = list(dict.fromkeys(p.role for p in file.personas))
    for index, role in enumerate(file.icp.roles):
        if role not in roles:
            yield document.problem(
                ("icp", "roles", index), f'no persona has the role "{role}"', did_you_mean(role, roles)
            )
    for role in file.fit.person.roles:
        if role not in roles:
            loc = ("fit", "person", "roles", role)
            yield document.problem(loc, f'no persona has the role "{role}"', did_you_mean(role, roles), key=True)
    grades = file.fit.grades
    if not grades.A > grades.B > grades.C:
        yield document.problem(("fit", "grades"), "A must need more than B, and B more than C", key=True)
    company = file.fit.company
    if not (
        company.industry
        or company.country
        or any(b.points for b in company.size)
        or any(file.fit.person.roles.values())
    ):
        yield document.problem(("fit",), "nothing gives points: every lead would be D", key=True)
    employees = file.icp.employees
    if employees.to is not None and employees.to < employees.from_:
        yield document.problem(("icp", "employees"), "`to` is smaller than `from`", key=True)


def _templates(document: Document, file: model.PolicyFile) -> Iterator[Problem]:
    segments = [s.name for s in file.segments]
    roles = [p.role for p in file.personas]
    for index, template in enumerate(file.templates):
        loc = ("templates", index)
        if template.segment is not None and template.segment not in segments:
            hint = did_you_mean(template.segment, segments)
            yield document.problem((*loc, "segment"), f'there is no segment "{template.segment}"', hint)
        if template.persona is not None and template.persona not in roles:
            hint = did_you_mean(template.persona, roles)
            yield document.problem((*loc, "persona"), f'no persona has the role "{template.persona}"', hint)
        for part in ("subject", "body"):
            yield from _faults(document, (*loc, part), getattr(template, part))


def _cadences(document: Document, file: model.PolicyFile) -> Iterator[Problem]:
    segments = [s.name for s in file.segments]
    names: set[str] = set()
    for index, cadence in enumerate(file.cadences):
        loc: tuple[str | int, ...] = ("cadences", index)
        if cadence.name in names:
            yield document.problem((*loc, "name"), f'two cadences are called "{cadence.name}"')
        names.add(cadence.name)
        for at, segment in enumerate(cadence.segments):
            if segment not in segments:
                hint = did_you_mean(segment, segments)
                yield document.problem((*loc, "segments", at), f'there is no segment "{segment}"', hint)
        before: tuple[int, float] | None = None
        for at, step in enumerate(cadence.steps):
            here = (*loc, "steps", at)
            when = (step.day, hours_of(step.day, step.after_hours))
            if before is not None and when <= before:
                yield document.problem((*here, "day"), "it is not after the step before", "put the steps in order")
            before = when
            if step.do == "task" and step.say is None:
                yield document.problem((*here, "do"), "a task needs words", "write under `say` what is to be done")
            for part in ("subject", "say"):
                yield from _faults(document, (*here, part), getattr(step, part))


def _faults(document: Document, loc: tuple[str | int, ...], text: str | None) -> Iterator[Problem]:
    """What is wrong in a text with names to fill in."""
    for fault in wrong_in(text) if text is not None else ():
        line, column = document.condition_place(loc, fault.line, fault.column)
        path = ".".join(str(step) for step in loc)
        yield Problem(line=line, column=column, path=path, message=fault.message, hint=fault.hint)


def _alerts(document: Document, file: model.PolicyFile) -> Iterator[Problem]:
    known = [*SIGNALS, *file.signals]
    for part in ("named_accounts", "others"):
        for index, name in enumerate(getattr(file.alerts, part)):
            loc = ("alerts", part, index)
            signal = file.signals.get(name)
            if name not in known:
                yield document.problem(loc, f'there is no signal "{name}"', did_you_mean(name, known))
            elif _OPEN in (name, signal.of if signal else None):
                yield document.problem(loc, "an open never raises an alert by itself", "take it out")


def _rest(document: Document, file: model.PolicyFile) -> Iterator[Problem]:
    sla = file.sla
    if not sla.remind_minutes < sla.escalate_minutes < sla.reassign_minutes:
        yield document.problem(("sla",), "remind must come before escalate, and escalate before reassign", key=True)
    segments = [s.name for s in file.segments]
    for name in file.goals:
        if name != "all" and name not in segments:
            yield document.problem(
                ("goals", name), f'there is no segment "{name}"', did_you_mean(name, [*segments, "all"]), key=True
            )
    known = [*SIGNALS, *file.signals]
    seen: dict[str, str] = {}
    for spelling, signal_name in file.spellings.items():
        key = spelling_key(spelling)
        target = file.signals.get(signal_name)
        if signal_name not in known:
            yield document.problem(
                ("spellings", spelling), f'there is no signal "{signal_name}"', did_you_mean(signal_name, known)
            )
        elif target is not None and target.of is not None:
            hint = f"write {target.of}"
            yield document.problem(("spellings", spelling), f"{signal_name} is a special case of {target.of}", hint)
        if not key:
            yield document.problem(("spellings", spelling), "an event name needs letters or digits", key=True)
        elif key in seen:
            yield document.problem(
                ("spellings", spelling), f'"{spelling}" and "{seen[key]}" are the same to us', key=True
            )
        seen[key] = spelling

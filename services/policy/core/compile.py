"""Policy text to `Policy`: every problem found at once, each with its line."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from schemas.messages import NoticeKind, Stage
from schemas.signals import FIRST_CUSTOM_SIGNAL, OTHER_SIGNAL, SIGNALS
from services.policy.core import model
from services.policy.core.cadence import Cadence, Step, hours_of
from services.policy.core.condition import Condition, ConditionError, compile_condition
from services.policy.core.document import Document, read_document
from services.policy.core.facts import FactNames, window_of
from services.policy.core.policy import (
    DAY_S,
    LADDER,
    Alerts,
    FitTable,
    Goal,
    H2h,
    Icp,
    Persona,
    Policy,
    Segment,
    SignalRule,
    Sla,
)
from services.policy.core.problems import PolicyError, Problem
from services.policy.core.rules import check_rules
from services.policy.core.shape import shape_problems
from services.policy.core.template import Template
from services.policy.core.words import signal_noun, spelling_key

__all__ = ["Policy", "PolicyError", "Problem", "SignalRule", "compile_policy", "read_policy", "uncoded"]

MOST_CUSTOM: Final = OTHER_SIGNAL - FIRST_CUSTOM_SIGNAL
_NOTICES: Final[Mapping[str, NoticeKind]] = {
    "email.clicked": "clicked",
    "email.replied": "clicked",
    "email.opened": "opened",
}


def compile_policy(text: str, version: int = 0, codes: Mapping[str, int] | None = None) -> Policy:
    """Compile a policy file.

    Args:
        text: YAML, at most 256 KB.
        version: The number that messages carry.
        codes: Numbers of the counters of custom and derived signals, as stored. Names that are not there get the next
            free numbers, in the order of their names: right for checks and previews, not for scoring.

    Raises:
        PolicyError: With every problem that was found, in the order of the file.
    """
    document, parsed = read_policy(text)
    names = sorted(uncoded(parsed))
    numbers = dict(codes or {})
    free = (n for n in range(FIRST_CUSTOM_SIGNAL, OTHER_SIGNAL) if n not in set(numbers.values()))
    for name in names:
        if name not in numbers:
            number = next(free, None)
            if number is None:
                message = f"all {MOST_CUSTOM} numbers for signals of your own are used"
                raise PolicyError(
                    [document.problem(("signals", name), message, "reuse an old signal's name", key=True)]
                )
            numbers[name] = number
    return _Compiler(document, parsed).policy(version, numbers)


def read_policy(text: str) -> tuple[Document, model.PolicyFile]:
    """Read and check everything but the conditions.

    Raises:
        PolicyError: With every problem that was found so far.
    """
    document = read_document(text)
    try:
        parsed = model.PolicyFile.model_validate(document.data)
    except ValidationError as error:
        raise PolicyError(shape_problems(document, error)) from error
    problems = check_rules(document, parsed)
    if problems:
        raise PolicyError(problems)
    return document, parsed


def uncoded(parsed: model.PolicyFile) -> list[str]:
    """The signals that need a number of their own: all but the built-in ones."""
    return [name for name in parsed.signals if name not in SIGNALS]


class _Compiler:
    """One run over a parsed file; collects the problems of conditions."""

    def __init__(self, document: Document, parsed: model.PolicyFile) -> None:
        self._document = document
        self._file = parsed
        self._problems: list[Problem] = []
        self._paths: set[str] = set()
        signals = {**dict.fromkeys(SIGNALS), **dict.fromkeys(parsed.signals)}
        self._plain = FactNames(signals)
        self._signals = signals
        self._labels = {name: s.label or signal_noun(name) for name, s in parsed.signals.items()}

    def policy(self, version: int, codes: Mapping[str, int]) -> Policy:
        file = self._file
        signals = self._rules(codes)
        stages = self._stages()
        segments = tuple(self._segment(index, s) for index, s in enumerate(file.segments))
        if self._problems:
            raise PolicyError(self._problems)
        windows: dict[str, int] = {}
        days_of: dict[str, int] = {}
        for path in sorted(self._paths):
            window = window_of(path, file.engagement.count_days, signals)
            if window is not None:
                fact, signal, days = window
                windows[fact] = days
                days_of[signal] = max(days_of.get(signal, 0), days)
        return Policy(
            version=version,
            about=file.about,
            signals=MappingProxyType(signals),
            windows=MappingProxyType(windows),
            window_days=MappingProxyType(days_of),
            icp=_icp(file.icp),
            personas=tuple(
                Persona(
                    p.role,
                    frozenset(p.functions),
                    frozenset(p.levels),
                    p.never_buys,
                    p.label or p.role.replace("_", " "),
                )
                for p in file.personas
            ),
            fit=_fit(file.fit),
            segments=segments,
            stages=MappingProxyType(stages),
            hysteresis=file.engagement.hysteresis,
            step=file.engagement.step,
            alerts=Alerts(
                frozenset(file.alerts.named_accounts),
                frozenset(file.alerts.others),
                float(file.alerts.fresh_s),
                file.alerts.collapse_minutes * 60.0,
            ),
            sla=Sla(file.sla.remind_minutes, file.sla.escalate_minutes, file.sla.reassign_minutes),
            cooldowns=MappingProxyType({reason: seconds / DAY_S for reason, seconds in file.cooldown.items()}),
            templates=tuple(
                Template(t.segment, t.persona, t.stage, t.language or file.language, t.subject, t.body)
                for t in file.templates
            ),
            language=file.language,
            cadences=tuple(_cadence(one) for one in file.cadences),
            goals=MappingProxyType({name: Goal(**goal.model_dump()) for name, goal in file.goals.items()}),
            spellings=MappingProxyType({spelling_key(name): signal for name, signal in file.spellings.items()}),
        )

    def _rules(self, codes: Mapping[str, int]) -> dict[str, SignalRule]:
        file = self._file
        alerting = {*file.alerts.named_accounts, *file.alerts.others}
        rules = {
            name: SignalRule(name=name, base=name, code=code, label=signal_noun(name)) for name, code in SIGNALS.items()
        }
        for name in alerting & set(SIGNALS):
            rules[name] = _with_alert(rules[name])
        for name, signal in file.signals.items():
            rule = SignalRule(
                name=name,
                base=signal.of or name,
                code=SIGNALS.get(name) or codes[name],
                points=signal.points,
                half_life_s=float(signal.half_life),
                daily_cap=signal.daily_cap,
                saturation=signal.saturation,
                path_segment=signal.path_segment.strip("/").lower() if signal.path_segment else None,
                url_contains=signal.url_contains.lower() if signal.url_contains else None,
                names=frozenset(spelling_key(n) for n in signal.name),
                label=self._labels[name],
            )
            rules[name] = _with_alert(rule) if name in alerting else rule
        return rules

    def _stages(self) -> dict[Stage, Condition]:
        found: dict[Stage, Condition] = {}
        for index, stage in enumerate(LADDER):
            text = self._file.stages.get(stage)
            if text is not None:
                lower = tuple(s for s in LADDER[:index] if s in self._file.stages)
                condition = self._condition(text, ("stages", stage), FactNames(self._signals, lower))
                if condition is not None:
                    found[stage] = condition
        return found

    def _segment(self, index: int, segment: model.Segment) -> Segment:
        when = self._condition(segment.when, ("segments", index, "when"), self._plain)
        shop_when = None
        if segment.shop_when is not None:
            shop_when = self._condition(segment.shop_when, ("segments", index, "shop_when"), self._plain)
        return Segment(
            name=segment.name,
            label=segment.label or segment.name.replace("_", " "),
            when=when or NEVER,
            handover_at=segment.handover_at,
            handover_to=segment.handover_to,
            track=segment.track,
            shop_url=segment.shop_url,
            shop_when=shop_when,
            mode=segment.mode,
            h2h=H2h(segment.h2h.handovers_per_day, segment.h2h.minutes_per_handover),
        )

    def _condition(self, text: str, loc: tuple[str | int, ...], names: FactNames) -> Condition | None:
        try:
            condition = compile_condition(text, names, self._labels)
        except ConditionError as error:
            line, column = self._document.condition_place(loc, error.line, error.column)
            path = ".".join(str(p) for p in loc)
            self._problems.append(Problem(line=line, column=column, path=path, message=error.message, hint=error.hint))
            return None
        self._paths |= condition.paths
        return condition


NEVER: Final = compile_condition("false", {})


def _with_alert(rule: SignalRule) -> SignalRule:
    fields: dict[str, Any] = {name: getattr(rule, name) for name in SignalRule.__slots__}
    return SignalRule(**{**fields, "alert": _NOTICES.get(rule.base, "visiting_now")})


def _cadence(one: model.Cadence) -> Cadence:
    steps = tuple(Step(s.day, s.do, hours_of(s.day, s.after_hours), s.subject, s.say) for s in one.steps)
    return Cadence(one.name, frozenset(one.segments), one.start, steps)


def _icp(icp: model.Icp) -> Icp:
    industries = tuple(i.strip().casefold() for i in icp.industries)
    return Icp(industries, icp.employees.from_, icp.employees.to, tuple(icp.countries), tuple(icp.roles))


def _fit(fit: model.FitRules) -> FitTable:
    company, person = fit.company, fit.person
    return FitTable(
        industry=company.industry,
        sizes=tuple(sorted(((band.from_, band.points) for band in company.size), reverse=True)),
        country=company.country,
        unknown_industry=company.unknown.industry,
        unknown_size=company.unknown.size,
        unknown_country=company.unknown.country,
        roles=MappingProxyType(dict(person.roles)),
        levels=MappingProxyType(dict(person.levels)),
        unknown_person=person.unknown,
        grade_a=fit.grades.A,
        grade_b=fit.grades.B,
        grade_c=fit.grades.C,
    )

"""The policy as the stages use it: compiled, frozen, with its doors."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any, Final, Literal

from schemas.messages import NoticeKind, Reason, Stage
from schemas.signals import OTHER_SIGNAL, SIGNALS
from services.policy.core.cadence import Cadence
from services.policy.core.condition import Condition
from services.policy.core.template import Template, languages_for, pick_template
from services.policy.core.words import WINDOWED, spelling_key

LadderStage = Literal["identified", "qualified", "ready_to_buy"]
LADDER: Final[tuple[LadderStage, ...]] = ("identified", "qualified", "ready_to_buy")
DEFAULT_COOLDOWN_DAYS: Final = 30.0
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class SignalRule:
    """What one kind of event is worth, and which events are of that kind.

    Attributes:
        base: The event's own signal (`page.viewed` for `pricing_visits`).
        code: Number of the counters in stored state, 1 to 255; see schemas/signals.py.
        daily_cap: So many events count per lead and UTC day.
        saturation: Points approach this number; 0 means no such limit.
        names: Keys (`spelling_key`) of event names that match; empty: any.
        alert: The notice that an alert about it becomes; None: never an alert.
    """

    name: str
    base: str
    code: int
    points: float = 0.0
    half_life_s: float = 2_592_000.0
    daily_cap: int = 20
    saturation: float = 0.0
    alert: NoticeKind | None = None
    path_segment: str | None = None
    url_contains: str | None = None
    names: frozenset[str] = frozenset()
    label: str = ""

    def matches(self, path: str | None, name: str | None, url: str | None) -> bool:
        """Whether an event of the base signal, with this path, name and URL, is of this kind."""
        if self.path_segment is not None:
            lower = (path or "").lower()
            # The first test is cheap, and enough for nearly every page.
            if self.path_segment not in lower or self.path_segment not in lower.partition("?")[0].split("/"):
                return False
        if self.url_contains is not None and self.url_contains not in (url or path or "").lower():
            return False
        return not self.names or (name is not None and spelling_key(name) in self.names)


@dataclass(frozen=True, slots=True)
class Icp:
    """The ideal customer profile. `employees_to` None: no upper end; `countries` empty: every country."""

    industries: tuple[str, ...]
    employees_from: int
    employees_to: int | None
    countries: tuple[str, ...]
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Persona:
    """A kind of person. Empty functions or levels match any."""

    role: str
    functions: frozenset[str]
    levels: frozenset[str]
    never_buys: bool
    label: str


@dataclass(frozen=True, slots=True)
class FitTable:
    """Points for company and person. `sizes` are (at least so many employees, points), largest first."""

    industry: float
    sizes: tuple[tuple[int, float], ...]
    country: float
    unknown_industry: float
    unknown_size: float
    unknown_country: float
    roles: Mapping[str, float]
    levels: Mapping[str, float]
    unknown_person: float
    grade_a: float
    grade_b: float
    grade_c: float

    @property
    def most(self) -> float:
        """The most points that a lead can have; at least a tiny number, so that it can divide."""
        company = self.industry + max(p for _, p in self.sizes) + self.country
        return max(company + max(self.roles.values(), default=0.0) + max(self.levels.values(), default=0.0), 1e-9)


@dataclass(frozen=True, slots=True)
class H2h:
    """Human time of a segment. `handovers_per_day` None: no limit."""

    handovers_per_day: int | None
    minutes_per_handover: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One row of the sales matrix. `handover_to` is `owner`, `self_serve` or the name of a pool."""

    name: str
    label: str
    when: Condition
    handover_at: Stage
    handover_to: str
    track: str
    shop_url: str | None
    shop_when: Condition | None
    mode: Literal["live", "shadow", "off"]
    h2h: H2h

    def shop(self, facts: Mapping[str, Any]) -> str | None:
        """The shop link to show to a lead with these facts, or None."""
        return self.shop_url if self.shop_url and (self.shop_when is None or self.shop_when(facts)) else None


@dataclass(frozen=True, slots=True)
class Alerts:
    """Which human acts are told at once. Names of signals, derived ones included."""

    named_accounts: frozenset[str]
    others: frozenset[str]
    fresh_s: float
    collapse_s: float

    def kind(self, rules: Iterable[SignalRule], *, named: bool) -> NoticeKind | None:
        """The notice for an event that counts for `rules`, or None when it is no alert.

        The caller has made sure that the act was human and is fresh.
        """
        wanted = self.named_accounts if named else self.others
        return next((rule.alert for rule in rules if rule.alert is not None and rule.name in wanted), None)


@dataclass(frozen=True, slots=True)
class Sla:
    """The ladder of an unanswered handover, in working minutes."""

    remind_minutes: int
    escalate_minutes: int
    reassign_minutes: int


@dataclass(frozen=True, slots=True)
class Goal:
    """What was agreed for a segment; None: no goal."""

    handovers_per_week: int | None
    minutes_to_first_touch: int | None
    acceptance: float | None
    win_rate: float | None


@dataclass(frozen=True)
class Policy:
    """One version of the rules. Immutable; every door is a pure function of its arguments.

    Attributes:
        signals: Every known signal by name: those of the file, and the built-in ones that it does not name, at 0 points.
        windows: Fact name to UTC days (today included): `pricing_visits_7d` to 7, `demo_request` to `count_days`.
        window_days: Signal name to the days of counters that `lead.scored` must carry for the conditions.
        stages: In the order of the ladder.
        step: A change of engagement below this is not material.
        spellings: `spelling_key` of a client's event name to the signal.
        language: Of the templates that name none.
    """

    version: int
    about: str
    signals: Mapping[str, SignalRule]
    windows: Mapping[str, int]
    window_days: Mapping[str, int]
    icp: Icp
    personas: tuple[Persona, ...]
    fit: FitTable
    segments: tuple[Segment, ...]
    stages: Mapping[Stage, Condition]
    hysteresis: float
    step: float
    alerts: Alerts
    sla: Sla
    cooldowns: Mapping[str, float]
    templates: tuple[Template, ...]
    language: str
    cadences: tuple[Cadence, ...]
    goals: Mapping[str, Goal]
    spellings: Mapping[str, str]

    # -- signals

    def counted(
        self, signal: str, path: str | None = None, name: str | None = None, url: str | None = None
    ) -> tuple[SignalRule, ...]:
        """The rules that one event counts for: its own signal first, then the special cases that it matches.

        Args:
            signal: The event's signal as it travels; anything.
            path: Path of the page, or None.
            name: The event's name in the source's own words, or None.
            url: Full URL (or the link of a click), or None.

        Returns:
            At least one rule; each code at most once. What no policy names counts for `other`, code 255.
        """
        plain, special = self._by_base.get(signal, (None, ()))
        if plain is None:
            custom = self._custom.get(spelling_key(signal)) or (self._custom.get(spelling_key(name)) if name else None)
            if custom is None:
                return (OTHER,)
            plain, special = custom, self._by_base.get(custom.name, (None, ()))[1]
        if not special:
            return (plain,)
        return (plain, *(rule for rule in special if rule.matches(path, name, url)))

    @cached_property
    def _by_base(self) -> dict[str, tuple[SignalRule, tuple[SignalRule, ...]]]:
        special: dict[str, list[SignalRule]] = {}
        for rule in self.signals.values():
            if rule.base != rule.name:
                special.setdefault(rule.base, []).append(rule)
        return {r.name: (r, tuple(special.get(r.name, ()))) for r in self.signals.values() if r.base == r.name}

    @cached_property
    def _custom(self) -> dict[str, SignalRule]:
        found: dict[str, SignalRule] = {}
        for rule in self.signals.values():
            if rule.base == rule.name and rule.name not in SIGNALS:
                for key in (spelling_key(rule.name), *sorted(rule.names)):
                    found.setdefault(key, rule)
        return found

    @cached_property
    def by_code(self) -> Mapping[int, SignalRule]:
        """Code of a stored counter to its rule. Codes of signals that this version no longer names are not there."""
        return {rule.code: rule for rule in self.signals.values()}

    def signal_for(self, name: str) -> str | None:
        """The signal that the policy's own spellings give to a client's event name, or None."""
        return self.spellings.get(spelling_key(name))

    def segment(self, name: str | None) -> Segment | None:
        """The segment of that name."""
        return self._segments.get(name)

    @cached_property
    def _segments(self) -> dict[str | None, Segment]:
        return {segment.name: segment for segment in self.segments}

    # -- people

    def persona_of(self, function: str | None, level: str | None) -> Persona | None:
        """The first persona that matches; None when none does, or when nothing is known of the title."""
        if function is None and level is None:
            return None
        for persona in self.personas:
            if (not persona.functions or function in persona.functions) and (
                not persona.levels or level in persona.levels
            ):
                return persona
        return None

    def role_of(self, function: str | None, level: str | None) -> str | None:
        """The role of a person with this function and level; None is unknown, or no role that we know."""
        persona = self.persona_of(function, level)
        return persona.role if persona else None

    # -- stages

    def holds(self, stage: Stage, facts: Mapping[str, Any], *, held: bool = False) -> bool:
        """Whether the condition of a stage is true; a stage without a condition never is.

        Args:
            held: The lead is at this stage (or above) already: engagement may fall to `hysteresis` times the threshold.
        """
        condition = self.stages.get(stage)
        if condition is None:
            return False
        return condition(facts) or (held and condition(self.relaxed(facts)))

    def relaxed(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The facts with engagement as it must look for a lead to stay where it is."""
        score = facts.get("engagement.score")
        return {**facts, "engagement.score": None if score is None else score / self.hysteresis}

    def missing(self, stage: Stage, facts: Mapping[str, Any]) -> list[Reason]:
        """Why the lead is not at this stage, in words; empty when it is. Lower stages are spelled out."""
        condition = self.stages.get(stage)
        if condition is None:
            return []
        found: list[Reason] = []
        for reason in condition.missing(facts):
            lower = next((s for s in self.stages if reason.code == "stage_below" and s == reason.limit), None)
            for one in (self.missing(lower, facts) if lower else []) or [reason]:
                if all(one.text != other.text for other in found):
                    found.append(one)
        return found

    @cached_property
    def window_facts(self) -> tuple[tuple[str, str, int], ...]:
        """For each fact that is counted over days: its full name, the signal, and how many days."""
        return tuple((f"signals.{fact}", self._windowed(fact), days) for fact, days in self.windows.items())

    def _windowed(self, fact: str) -> str:
        match = WINDOWED.match(fact)
        return match["signal"] if match and fact not in self.signals else fact

    @cached_property
    def engagement_limits(self) -> tuple[float, ...]:
        """Engagement scores at which some stage or segment condition turns, lowest first."""
        conditions = [*self.stages.values(), *(s.when for s in self.segments)]
        return tuple(sorted({limit for c in conditions for limit in c.limits("engagement.score")}))

    @cached_property
    def engagement_turns(self) -> tuple[float, ...]:
        """Engagement scores above 0 at which a lead may leave its stage or segment on the way down, lowest first."""
        limits = [limit * share for limit in self.engagement_limits for share in (1.0, self.hysteresis)]
        return tuple(sorted(limit for limit in limits if limit > 0))

    # -- the rest

    def cooldown_days(self, reason: str | None) -> float:
        """Days of rest after a decline with this reason; 30 when the policy does not name it."""
        return self.cooldowns.get(reason or "", self.cooldowns.get("other", DEFAULT_COOLDOWN_DAYS))

    def template_for(
        self,
        segment: str | None = None,
        persona: str | None = None,
        stage: str | None = None,
        language: str | None = None,
        languages: tuple[str, ...] = (),
    ) -> Template | None:
        """The most special ready message that applies; None when the policy has none.

        Args:
            language: The lead's, as it is written; None: not known.
            languages: The rep's, most wanted first; they count when the lead's is not known.
        """
        return self._template_for(segment, persona, stage, languages_for(language, languages, self.language))

    @cached_property
    def _template_for(self) -> Callable[[str | None, str | None, str | None, tuple[str, ...]], Template | None]:
        return lru_cache(maxsize=4096)(partial(pick_template, self.templates))

    def cadence(self, name: str) -> Cadence | None:
        """The cadence of that name."""
        return next((one for one in self.cadences if one.name == name), None)

    def goal(self, segment: str | None) -> Goal | None:
        """The goal of a segment, or of the whole."""
        return self.goals.get(segment or "all") or self.goals.get("all")

    def numbered(self, version: int) -> "Policy":
        """The same rules under a version number."""
        return replace(self, version=version)


OTHER: Final = SignalRule(name="other", base="other", code=OTHER_SIGNAL)

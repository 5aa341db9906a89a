"""The shape of a policy file: what may stand where, as a pydantic model with a published JSON Schema."""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.\-]{0,63}$", description="Lower case, digits, _ . -")]
SignalName = Annotated[
    str,
    Field(max_length=64, pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$", description="Lower case, digits, _ and ."),
]
Points = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
# `when: true` is how people write "always".
Condition = Annotated[
    str,
    BeforeValidator(lambda v: {True: "true", False: "false"}[v] if isinstance(v, bool) else v),
    Field(min_length=1, max_length=2000, description="A condition in the subset of CEL"),
]
LadderStage = Literal["identified", "qualified", "ready_to_buy"]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166 code of two capital letters")]

_DURATION = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)\s*(m|h|d|w)\Z")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(value: Any) -> int:
    """`30d`, `12h`, `45m` or `2w` as seconds."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        msg = "write a length of time as 45m, 12h, 30d or 2w"
        raise ValueError(msg)
    return round(float(match[1]) * _SECONDS[match[2]])


Duration = Annotated[
    int,
    BeforeValidator(seconds_of, json_schema_input_type=Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*[mhdw]$")]),
    Field(ge=3600, le=315_360_000),
]


class Part(BaseModel):
    """Common settings: unknown fields are refused, types are not bent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Signal(Part):
    """What one kind of event is worth."""

    of: SignalName | None = Field(None, description="The signal that this one is a special case of")
    path_segment: str | None = Field(None, min_length=1, max_length=100, description="A whole part of the page's path")
    url_contains: str | None = Field(None, min_length=1, max_length=200, description="Any part of the URL or path")
    name: Annotated[
        list[str],
        BeforeValidator(lambda v: [v] if isinstance(v, str) else v, json_schema_input_type=str | list[str]),
    ] = Field(default=[], description="The event's name in the source's own words")
    label: str | None = Field(None, max_length=60, description="What people call one of it: pricing visit")
    points: Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)] = 0
    half_life: Duration = Field(2_592_000, validate_default=False, description="Points halve in this time")
    daily_cap: Annotated[int, Field(ge=1, le=1000)] = 20
    saturation: Points = Field(0, description="Points of this signal approach this number; 0: no such limit")


class Employees(Part):
    """A range of company sizes."""

    from_: int = Field(default=0, alias="from", ge=0)
    to: int | None = Field(default=None, ge=0)

    @classmethod
    def anybody(cls) -> Self:
        """Companies of every size."""
        return cls.model_validate({})


class Icp(Part):
    """The ideal customer profile: the company, and the roles that decide."""

    industries: list[str] = Field(min_length=1)
    employees: Employees = Field(default_factory=Employees.anybody)
    countries: list[Country] = Field(default=[], description="Empty: every country is right")
    roles: list[Name] = Field(default=["decision_maker"], min_length=1)


class Persona(Part):
    """A kind of person. The first persona that matches function and level gives the role."""

    role: Name
    label: str | None = Field(None, max_length=60)
    functions: list[Name] = Field(default=[], description="Empty: any function")
    levels: list[Name] = Field(default=[], description="Empty: any level")
    never_buys: bool = Field(False, description="Grade D whatever the company")


class SizeBand(Part):
    """Points for a company of at least `from` employees; the largest that applies counts."""

    from_: int = Field(alias="from", ge=0)
    points: Points


class CompanyUnknown(Part):
    """Points when a fact is not known: neutral, neither praise nor blame."""

    industry: Points = 0
    size: Points = 0
    country: Points = 0


class CompanyFit(Part):
    """Points for the company."""

    industry: Points
    size: list[SizeBand] = Field(min_length=1)
    country: Points = 0
    unknown: CompanyUnknown = CompanyUnknown()


class PersonFit(Part):
    """Points for the person."""

    roles: dict[Name, Points]
    levels: dict[Name, Points] = {}
    unknown: Points = 0


class Grades(Part):
    """The lowest fit score, 0 to 100, of each grade. Below C is D."""

    A: Annotated[float, Field(ge=0, le=100)]
    B: Annotated[float, Field(ge=0, le=100)]
    C: Annotated[float, Field(ge=0, le=100)]


class FitRules(Part):
    """How company and person become a fit score and a grade."""

    company: CompanyFit
    person: PersonFit
    grades: Grades


class HumanTime(Part):
    """How much human time the segment may take."""

    handovers_per_day: Annotated[int, Field(ge=1, le=10_000)] | None = None
    minutes_per_handover: Annotated[int, Field(ge=1, le=1440)] = 30


class Segment(Part):
    """One row of the sales matrix."""

    name: Name
    label: str | None = Field(None, max_length=60)
    when: Condition = "true"
    handover_at: LadderStage
    handover_to: Name = Field(description="owner, self_serve, or the name of a pool")
    track: Name = Field("nurture", description="Who works the lead before the handover")
    shop_url: str | None = Field(None, max_length=500, pattern=r"^https?://")
    shop_when: Condition | None = Field(None, description="When the shop link is shown; left out: always")
    mode: Literal["live", "shadow", "off"] = "live"
    h2h: HumanTime = HumanTime()


class Engagement(Part):
    """How behaviour is read."""

    hysteresis: Annotated[float, Field(gt=0, le=1)] = 0.8
    step: Annotated[float, Field(gt=0, le=100)] = Field(default=5, description="A smaller change of score is no news")
    count_days: Annotated[int, Field(ge=1, le=365)] = Field(
        default=90, description="How far back signals.<name> counts"
    )


class Alerts(Part):
    """Which human acts are told to the person in charge at once."""

    named_accounts: list[SignalName] = []
    others: list[SignalName] = []
    fresh_s: Annotated[int, Field(ge=5, le=3600)] = 120
    collapse_minutes: Annotated[int, Field(ge=0, le=1440)] = 30


class Sla(Part):
    """The ladder of an unanswered handover, in working minutes."""

    remind_minutes: Annotated[int, Field(ge=1, le=100_000)] = 15
    escalate_minutes: Annotated[int, Field(ge=1, le=100_000)] = 45
    reassign_minutes: Annotated[int, Field(ge=1, le=100_000)] = 60


class Template(Part):
    """A ready message. It is used where every condition that it names holds; the most special one wins."""

    segment: Name | None = None
    persona: Name | None = None
    stage: LadderStage | Literal["unknown", "customer"] | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] | None = None
    subject: str = Field(min_length=1, max_length=300)
    body: str = Field(min_length=1, max_length=5000)


class CadenceStep(Part):
    """One contact step of a cadence."""

    day: Annotated[int, Field(ge=0, le=365, description="Working days of the rep after the start; 0: the same day")]
    do: Literal["call", "mail", "message", "task"]
    after_hours: Annotated[float, Field(ge=0, le=24, allow_inf_nan=False)] | None = Field(
        None,
        description="Working hours after the start (day 0; left out: 1), or after the day's work begins (left out: 0)",
    )
    subject: str | None = Field(None, min_length=1, max_length=300, description="Left out: that of the ready message")
    say: str | None = Field(
        None, min_length=1, max_length=5000, description="What to say, or what the task is; left out: the ready message"
    )


class Cadence(Part):
    """A chain of contact steps for a lead that a rep has. The first cadence that is for the lead's segment is used."""

    name: Name
    segments: list[Name] = Field(default=[], description="Empty: every segment")
    start: Literal["accepted", "offered"] = "accepted"
    steps: list[CadenceStep] = Field(min_length=1, max_length=20)


class Goal(Part):
    """What marketing and sales have agreed to reach."""

    handovers_per_week: Annotated[int, Field(ge=0)] | None = None
    minutes_to_first_touch: Annotated[int, Field(ge=1)] | None = None
    acceptance: Annotated[float, Field(ge=0, le=1)] | None = None
    win_rate: Annotated[float, Field(ge=0, le=1)] | None = None


class PolicyFile(Part):
    """The whole policy: one file, read by marketing and sales together."""

    about: str = Field("", max_length=2000, description="What this version is for, in your own words")
    segments: list[Segment] = Field(min_length=1, max_length=50)
    stages: dict[LadderStage, Condition] = Field(min_length=1)
    signals: dict[SignalName, Signal] = Field(min_length=1, max_length=200)
    engagement: Engagement = Engagement()
    icp: Icp
    personas: list[Persona] = Field(min_length=1, max_length=50)
    fit: FitRules
    alerts: Alerts = Alerts()
    sla: Sla = Sla()
    cooldown: dict[Name, Duration] = Field(default={}, description="Rest after a decline, by reason")
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = Field(
        default="en", description="The language of ready messages that name none"
    )
    templates: list[Template] = Field(default=[], max_length=200)
    cadences: list[Cadence] = Field(default=[], max_length=50, description="Contact steps after the handover")
    goals: dict[Name, Goal] = Field(default={}, description="By segment; `all` for the whole")
    spellings: dict[str, SignalName] = Field(
        default={}, description="Further event names of your tools, and their signal"
    )


def policy_schema() -> dict[str, Any]:
    """JSON Schema of a policy file, for editors and other programs."""
    schema = PolicyFile.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Lead Router policy"}

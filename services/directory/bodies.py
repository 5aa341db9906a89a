"""What may the API be sent? Strict bodies; the same rules for values as files have (core/fields.py)."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.directory.core import fields
from services.directory.core.fields import CAPACITY_MAX, NETWORKS_MAX, WEIGHT_MAX, FieldError
from services.directory.core.people import ALWAYS, Account, Member, Pool, Rep
from services.directory.core.traits import EMPLOYEES_MAX
from services.runtime.http import ApiError

T = TypeVar("T")

Text = Annotated[str, Field(max_length=500)]
Time = Annotated[AwareDatetime, Field(strict=False)]  # JSON has no times: text with an offset
MEMBERS_MAX = 500


def reading(field: str, read: Callable[[], T]) -> T:
    """What `read` gives; a refusal becomes the API's 422 that names the field."""
    try:
        return read()
    except FieldError as error:
        raise ApiError(
            422, "invalid", f"{field}: {error}", [{"where": f"body.{field}", "message": str(error)}]
        ) from error


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class AccountBody(_Body):
    """An account without its key. Left out means empty."""

    name: Text = ""
    industry: Text | None = None
    employees: int | None = Field(None, ge=0, le=EMPLOYEES_MAX)
    country: Text | None = None
    named: bool = False
    owner: Text | None = None
    networks: list[Text] = Field(default_factory=list, max_length=NETWORKS_MAX)

    def account(self, domain: str, reps: Mapping[str, Rep]) -> Account:
        """The account.

        Raises:
            ApiError: 422 with the field that cannot be.
        """
        return Account(
            domain=domain,
            name=reading("name", lambda: fields.line(self.name)),
            industry=reading("industry", lambda: fields.word(self.industry or "")),
            employees=self.employees,
            country=reading("country", lambda: fields.country(self.country or "")),
            named=self.named,
            owner=reading("owner", lambda: fields.rep_id(self.owner or "", reps)),
            networks=reading("networks", lambda: fields.networks(" ".join(self.networks))),
        )


class RepBody(_Body):
    """A rep without key and absences. Left out means the default."""

    name: Text = ""
    title: Text = ""
    email: Text | None = None
    timezone: Text = "UTC"
    hours: Text = ALWAYS
    country: Text | None = None
    languages: list[Text] = Field(default_factory=list, max_length=20)
    capacity_per_day: int | None = Field(None, ge=0, le=CAPACITY_MAX)
    capacity_open: int | None = Field(None, ge=0, le=CAPACITY_MAX)
    manager: Text | None = None
    meeting_link: Text | None = None
    active: bool = True
    alerts_paused_until: Time | None = None

    def rep(self, rep_id: str, known: Mapping[str, Rep]) -> Rep:
        """The rep, with the absences that are known of them.

        Raises:
            ApiError: 422 with the field that cannot be.
        """
        manager = reading("manager", lambda: fields.rep_id(self.manager or "", known))
        if manager == rep_id:
            raise ApiError(422, "invalid", "manager: nobody is their own manager; write another rep")
        before = known.get(rep_id)
        return Rep(
            id=rep_id,
            name=reading("name", lambda: fields.line(self.name)),
            title=reading("title", lambda: fields.line(self.title)),
            email=reading("email", lambda: fields.email(self.email or "")),
            timezone=reading("timezone", lambda: fields.timezone(self.timezone)),
            hours=reading("hours", lambda: fields.hours(self.hours)),
            country=reading("country", lambda: fields.holiday_country(self.country or "")),
            absences=before.absences if before else (),
            languages=tuple(reading("languages", lambda: [fields.language(one) for one in self.languages])),
            capacity_per_day=self.capacity_per_day,
            capacity_open=self.capacity_open,
            manager=manager,
            meeting_link=reading("meeting_link", lambda: fields.link(self.meeting_link or "")),
            active=self.active,
            alerts_paused_until=_utc(self.alerts_paused_until),
        )


class AbsenceBody(_Body):
    """An absence: two dates, the last one included, or two instants, in the rep's time zone unless they say."""

    start: Text = Field(alias="from")
    until: Text
    note: Text = ""


class AvailabilityBody(_Body):
    """What a rep may change of themselves."""

    add_absences: list[AbsenceBody] = Field(default_factory=list, max_length=50)
    remove_absences: list[Text] = Field(default_factory=list, max_length=50)
    alerts_paused_until: Time | None = None

    def applied(self, rep: Rep) -> Rep:
        """The rep with the change. Alerts are only touched when the body names them; null takes the pause away."""
        new = tuple(
            reading("add_absences", lambda one=one: fields.absence(one.start, one.until, one.note, rep.timezone))  # type: ignore[misc]  # binds the loop's value
            for one in self.add_absences
        )
        paused = rep.alerts_paused_until
        if "alerts_paused_until" in self.model_fields_set:
            paused = _utc(self.alerts_paused_until)
        return msgspec.structs.replace(rep, absences=(*rep.absences, *new), alerts_paused_until=paused)


class MemberBody(_Body):
    """A rep's share."""

    rep: Text
    weight: int = Field(1, ge=1, le=WEIGHT_MAX)


class TeamBody(_Body):
    """The members of a pool; at least one."""

    members: list[MemberBody] = Field(min_length=1, max_length=MEMBERS_MAX)

    def pool(self, name: str, reps: Mapping[str, Rep]) -> Pool:
        """The pool.

        Raises:
            ApiError: 422 for a member who is unknown, has left or stands there twice.
        """
        members: list[Member] = []
        for index, one in enumerate(self.members):
            rep = _member(f"members.{index}.rep", one.rep, reps)
            if any(member.rep == rep for member in members):
                raise ApiError(422, "invalid", f"members.{index}.rep: {rep} stands there twice; add the weights")
            members.append(Member(rep=rep, weight=one.weight))
        return Pool(name=name, members=tuple(members))


def _member(field: str, text: str, reps: Mapping[str, Rep]) -> str:
    found = reading(field, lambda: fields.rep_id(text, reps))
    if found is None:
        raise ApiError(422, "invalid", f"{field}: is empty; write the id of a rep")
    return found


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)

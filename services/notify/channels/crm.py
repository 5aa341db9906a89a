"""What the CRM channels share: find the person → owner → look for the task → create it; or finish it.

Each vendor is a `Crm` of a handful of calls. Every call may be repeated: owners are set, tasks are looked for before they
are made, finished ones stay finished.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from typing_extensions import override

from services.notify.channels.far import (
    ODD,
    Endpoint,
    FarChannel,
    Field,
    Kind,
    Order,
    Tools,
    answered,
    unexpected,
    unreachable,
)
from services.notify.core import crm
from services.notify.core.attempt import Result
from services.notify.core.crm import OWNER_WHEN, Job
from services.runtime.errors import Refused, Unavailable
from services.runtime.outgoing import Outgoing, Reply


class Ended(Exception):
    """The job ends with `result`."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.detail)
        self.result = result


class Person(msgspec.Struct, frozen=True):
    """Somebody in the CRM. `kind`: what they are called there, where there are several (Lead, Contact)."""

    id: str
    kind: str = ""


class Crm(ABC):
    """One CRM. Methods raise `Ended` when the far side says no, and what `Outgoing.call` raises."""

    def __init__(self, endpoint: Endpoint, tools: Tools, base_url: str) -> None:
        self.endpoint = endpoint
        self.http: Outgoing = tools.connect(base_url)

    @abstractmethod
    async def find(self, job: Job) -> Person | None:
        """The person with this e-mail address."""

    @abstractmethod
    async def create(self, job: Job) -> Person:
        """A new person."""

    @abstractmethod
    async def owner(self, email: str) -> str | None:
        """The user of the CRM with this e-mail address."""

    @abstractmethod
    async def own(self, person: Person, owner: str) -> None:
        """Make the user the person's owner."""

    @abstractmethod
    async def task(self, person: Person, job: Job) -> str | None:
        """The task that carries the job's id, if there is one."""

    @abstractmethod
    async def make(self, person: Person, owner: str, job: Job) -> str:
        """Create the task; its id."""

    @abstractmethod
    async def finish(self, task: str) -> None:
        """The task is done."""

    async def headers(self) -> Mapping[str, str]:
        """What every call carries."""
        return {}

    async def call(
        self, method: Any, path: str, content: Any = None, *, missing: bool = False, **more: str
    ) -> dict[str, Any] | None:
        """One call in JSON.

        Args:
            missing: 404 is an answer: None.
            more: Headers of this call, `_` for `-`.
        """
        body = None if content is None else msgspec.json.encode(content)
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "lead-router",
            **await self.headers(),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        reply = await self.http.call(method, path, headers, body)
        if reply.status == 404 and missing:
            return None
        return self.read(reply)

    def read(self, reply: Reply) -> dict[str, Any]:
        """The decoded answer of a call that succeeded. Raises `Ended`."""
        result = answered(reply)
        if result.outcome != "ok":
            raise Ended(result)
        if not reply.body:
            return {}
        try:
            return msgspec.json.decode(reply.body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise Ended(Result(outcome="failed", detail="the answer is no JSON", uncertain=True)) from error


class CrmChannel(FarChannel):
    """A CRM as a channel."""

    def __init__(self, endpoint: Endpoint, tools: Tools, far: Crm) -> None:
        self._crm = far
        self._links = tools.links
        self._set_owner: Any = endpoint.options.get("set_owner") or "offer"
        self._create = endpoint.options.get("create_missing") == "yes"

    @override
    def prepare(self, order: Order, now: datetime) -> Job | None:
        if order.purpose == "test":
            # Trying it reads a user and changes nothing.
            return Job(id=order.id, email="", rep_email=order.rep.email or "", due_at=now, due_on=now.date())
        receipt = order.receipt or {}
        change = order.purpose == "change"
        if order.items or (change and not receipt):
            return None
        return crm.job(
            order.notice,
            order.rep,
            order_id=order.id,
            change=change,
            set_owner=self._set_owner,
            task=receipt.get("task", ""),
            lead_url=self._links.lead(order.notice.lead.id),
        )

    @override
    async def send(self, request: Job) -> Result:
        try:
            return await self._do(request)
        except Ended as ended:
            return ended.result
        except (Unavailable, Refused) as error:
            return unreachable(error)
        except ODD as error:
            return unexpected(error, uncertain=True)

    @override
    async def close(self) -> None:
        await self._crm.http.close()

    async def _do(self, job: Job) -> Result:
        if not job.email:
            found = await self._crm.owner(job.rep_email or "nobody@invalid.example")
            return Result(outcome="ok", detail="the rep is known there" if found else "the rep is not known there")
        if job.finish:
            await self._crm.finish(job.finish)
            return Result(outcome="ok", receipt={"task": job.finish})
        # Asked each time: people come to the CRM and leave it.
        owner = await self._crm.owner(job.rep_email)
        if owner is None:
            return Result(outcome="refused", detail="the rep has no user with this e-mail address there")
        person = await self._crm.find(job)
        if person is None:
            if not self._create:
                return Result(outcome="ok", detail="nobody there has this e-mail address; nothing was made")
            person = await self._crm.create(job)
        if job.own:
            await self._crm.own(person, owner)
        if not job.task:
            return Result(outcome="ok")
        task = await self._crm.task(person, job)
        if task is not None:
            return Result(outcome="ok", receipt={"task": task}, detail="the task was there already")
        return Result(outcome="ok", receipt={"task": await self._crm.make(person, owner, job)})


def _check(options: Mapping[str, str], _secrets: Mapping[str, str]) -> str | None:
    if (options.get("set_owner") or "offer") not in OWNER_WHEN:
        return f"set_owner: one of {', '.join(OWNER_WHEN)}"
    if (options.get("create_missing") or "no") not in ("yes", "no"):
        return "create_missing: yes or no"
    return None


def kind(
    name: str, title: str, fields: tuple[Field, ...], make: Callable[[Endpoint, Tools], Crm], per_s: float
) -> Kind:
    """A CRM as a kind of channel."""
    return Kind(
        name=name,
        title=title,
        fields=(
            *fields,
            Field("set_owner", "when the rep becomes the owner: offer (default), accept, never", required=False),
            Field("create_missing", "make a person who is not there: yes or no (default)", required=False),
        ),
        open=lambda endpoint, tools: CrmChannel(endpoint, tools, make(endpoint, tools)),
        feed=True,
        changes=True,
        kinds=("handover",),
        # Tasks are looked for before they are made: a try that may have arrived is simply repeated.
        idempotent=True,
        concurrency=2,
        per_s=per_s,
        check=_check,
    )

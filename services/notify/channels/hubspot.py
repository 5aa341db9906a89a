"""HubSpot: contacts, owners and tasks (developers.hubspot.com, CRM API v3)."""

from typing import Final
from urllib.parse import quote

from typing_extensions import override

from services.notify.channels.crm import Crm, Person, kind
from services.notify.channels.far import Endpoint, Field, Tools
from services.notify.core.crm import Job, marker, names_of, rich

API: Final = "https://api.hubapi.com"
TASK_TO_CONTACT: Final = 204


class HubSpot(Crm):
    """One account, by the token of a private app."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        super().__init__(endpoint, tools, endpoint.options.get("api") or API)
        self._headers = {"authorization": f"Bearer {endpoint.secrets['token']}"}

    @override
    async def headers(self) -> dict[str, str]:
        return self._headers

    @override
    async def find(self, job: Job) -> Person | None:
        path = f"/crm/v3/objects/contacts/{quote(job.email, safe='')}?idProperty=email"
        found = await self.call("GET", path, missing=True)
        return Person(str(found["id"])) if found else None

    @override
    async def create(self, job: Job) -> Person:
        first, last = names_of(job.name)
        known = {
            "email": job.email,
            "firstname": first,
            "lastname": last,
            "jobtitle": job.title,
            "company": job.company,
        }
        made = await self.call(
            "POST", "/crm/v3/objects/contacts", {"properties": {k: v for k, v in known.items() if v}}
        )
        return Person(str((made or {})["id"]))

    @override
    async def owner(self, email: str) -> str | None:
        found = await self.call("GET", f"/crm/v3/owners?email={quote(email, safe='')}")
        owners = (found or {}).get("results", ())
        return str(owners[0]["id"]) if owners else None

    @override
    async def own(self, person: Person, owner: str) -> None:
        await self.call("PATCH", f"/crm/v3/objects/contacts/{person.id}", {"properties": {"hubspot_owner_id": owner}})

    @override
    async def task(self, person: Person, job: Job) -> str | None:
        # Their search lags some seconds behind; a try that may have arrived is repeated later than that.
        asked = {"propertyName": "hs_task_body", "operator": "CONTAINS_TOKEN", "value": job.id}
        found = await self.call(
            "POST",
            "/crm/v3/objects/tasks/search",
            {"filterGroups": [{"filters": [asked]}], "properties": ["hs_task_body"], "limit": 5},
        )
        for one in (found or {}).get("results", ()):
            if marker(job.id) in ((one.get("properties") or {}).get("hs_task_body") or ""):
                return str(one["id"])
        return None

    @override
    async def make(self, person: Person, owner: str, job: Job) -> str:
        made = await self.call(
            "POST",
            "/crm/v3/objects/tasks",
            {
                "properties": {
                    "hs_timestamp": job.due_at.isoformat(),
                    "hs_task_subject": job.subject,
                    "hs_task_body": rich(job.body),
                    "hs_task_status": "NOT_STARTED",
                    "hs_task_priority": "HIGH",
                    "hs_task_type": "CALL",
                    "hubspot_owner_id": owner,
                },
                "associations": [
                    {
                        "to": {"id": person.id},
                        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": TASK_TO_CONTACT}],
                    }
                ],
            },
        )
        return str((made or {})["id"])

    @override
    async def finish(self, task: str) -> None:
        await self.call(
            "PATCH",
            f"/crm/v3/objects/tasks/{quote(task, safe='')}",
            {"properties": {"hs_task_status": "COMPLETED"}},
            missing=True,
        )


KIND: Final = kind(
    "hubspot",
    "HubSpot (owner and task)",
    (
        Field("token", "of a private app with crm.objects.contacts and owners, read and write", secret=True),
        Field("api", f"where the API is, if not {API}", required=False, max_chars=200),
    ),
    HubSpot,
    # 100 calls in 10 s, and a job takes up to five.
    per_s=2.0,
)

"""Pipedrive: persons and their leads, users and activities (API v1 and v2)."""

from typing import Final
from urllib.parse import urlencode

from typing_extensions import override

from services.notify.channels.crm import Crm, Person, kind
from services.notify.channels.far import Endpoint, Field, Tools
from services.notify.core.crm import Job, marker, rich

SEEN: Final = 50


class Pipedrive(Crm):
    """One company, by a user's API token."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        super().__init__(endpoint, tools, endpoint.options["domain"])
        self._headers = {"x-api-token": endpoint.secrets["token"]}

    @override
    async def headers(self) -> dict[str, str]:
        return self._headers

    @override
    async def find(self, job: Job) -> Person | None:
        asked = urlencode({"term": job.email, "fields": "email", "exact_match": "true", "limit": 1})
        found = await self.call("GET", f"/api/v2/persons/search?{asked}")
        items = (found or {})["data"]["items"]
        return Person(str(items[0]["item"]["id"])) if items else None

    @override
    async def create(self, job: Job) -> Person:
        made = await self.call(
            "POST",
            "/api/v2/persons",
            {"name": job.name or job.email, "emails": [{"value": job.email, "primary": True, "label": "work"}]},
        )
        return Person(str((made or {})["data"]["id"]))

    @override
    async def owner(self, email: str) -> str | None:
        found = await self.call("GET", f"/api/v1/users/find?{urlencode({'term': email, 'search_by_email': 1})}")
        # They find parts of an address as well.
        return next(
            (
                str(one["id"])
                for one in (found or {}).get("data") or ()
                if one.get("active_flag", True) and str(one["email"]).casefold() == email.casefold()
            ),
            None,
        )

    @override
    async def own(self, person: Person, owner: str) -> None:
        await self.call("PATCH", f"/api/v2/persons/{person.id}", {"owner_id": int(owner)})
        found = await self.call("GET", f"/api/v1/leads?{urlencode({'person_id': person.id, 'limit': SEEN})}")
        for lead in (found or {}).get("data") or ():
            if not lead.get("is_archived") and str(lead.get("owner_id")) != owner:
                await self.call("PATCH", f"/api/v1/leads/{lead['id']}", {"owner_id": int(owner)})

    @override
    async def task(self, person: Person, job: Job) -> str | None:
        asked = urlencode({"person_id": person.id, "limit": SEEN, "sort_by": "add_time", "sort_direction": "desc"})
        found = await self.call("GET", f"/api/v2/activities?{asked}")
        for one in (found or {}).get("data") or ():
            if marker(job.id) in (one.get("note") or ""):
                return str(one["id"])
        return None

    @override
    async def make(self, person: Person, owner: str, job: Job) -> str:
        made = await self.call(
            "POST",
            "/api/v2/activities",
            {
                "subject": job.subject,
                "type": "call",
                "owner_id": int(owner),
                "due_date": job.due_at.date().isoformat(),
                "due_time": f"{job.due_at:%H:%M}",
                "note": rich(job.body),
                "participants": [{"person_id": int(person.id), "primary": True}],
            },
        )
        return str((made or {})["data"]["id"])

    @override
    async def finish(self, task: str) -> None:
        await self.call("PATCH", f"/api/v2/activities/{int(task)}", {"done": True}, missing=True)


KIND: Final = kind(
    "pipedrive",
    "Pipedrive (owner and activity)",
    (
        Field("domain", "https://yourcompany.pipedrive.com", max_chars=200),
        Field("token", "API token of a user who may change owners", secret=True),
    ),
    Pipedrive,
    per_s=2.0,
)

"""Salesforce: leads and contacts, users and tasks (REST API v62.0, client credentials)."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from typing_extensions import override

from services.notify.channels.crm import Crm, Ended, Person, kind
from services.notify.channels.far import Endpoint, Field, Tools
from services.notify.core.attempt import Result
from services.notify.core.crm import Job, marker, names_of

DATA: Final = "/services/data/v62.0"
TASKS_SEEN: Final = 50


def quoted(text: str) -> str:
    """A string of SOQL: nothing in it ends it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ").replace("\r", " ") + "'"


class Salesforce(Crm):
    """One org, by a connected app."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        super().__init__(endpoint, tools, endpoint.options["domain"])
        self._client = (endpoint.secrets["client_id"], endpoint.secrets["client_secret"])
        self._token = ""

    @override
    async def headers(self) -> Mapping[str, str]:
        if not self._token:
            await self._sign_in()
        return {"authorization": f"Bearer {self._token}"}

    @override
    async def call(self, method: Any, path: str, content: Any = None, *, missing: bool = False, **more: str) -> Any:
        try:
            return await super().call(method, path, content, missing=missing, **more)
        except Ended as ended:
            if ended.result.detail != "HTTP 401" or not self._token:
                raise
            # Tokens end without a word: once more with a new one.
            self._token = ""
            return await super().call(method, path, content, missing=missing, **more)

    @override
    async def find(self, job: Job) -> Person | None:
        email = quoted(job.email)
        leads = await self._query(
            f"SELECT Id, IsConverted, ConvertedContactId FROM Lead WHERE Email = {email} ORDER BY CreatedDate DESC LIMIT 1"
        )
        if leads and not leads[0]["IsConverted"]:
            return Person(leads[0]["Id"], "Lead")
        # A converted lead takes no changes: what it has become does.
        if leads and leads[0].get("ConvertedContactId"):
            return Person(leads[0]["ConvertedContactId"], "Contact")
        contacts = await self._query(f"SELECT Id FROM Contact WHERE Email = {email} ORDER BY CreatedDate DESC LIMIT 1")
        return Person(contacts[0]["Id"], "Contact") if contacts else None

    @override
    async def create(self, job: Job) -> Person:
        first, last = names_of(job.name)
        known = {
            "Email": job.email[:80],
            "FirstName": first[:40],
            "LastName": last[:80],
            "Company": (job.company or "Unknown")[:255],
            "Title": job.title[:128],
        }
        made = await self.call(
            "POST", f"{DATA}/sobjects/Lead", {k: v for k, v in known.items() if v}, Sforce_Auto_Assign="FALSE"
        )
        return Person(made["id"], "Lead")

    @override
    async def owner(self, email: str) -> str | None:
        users = await self._query(f"SELECT Id FROM User WHERE Email = {quoted(email)} AND IsActive = true LIMIT 1")
        return str(users[0]["Id"]) if users else None

    @override
    async def own(self, person: Person, owner: str) -> None:
        # Without the header the org's assignment rules would route after us.
        await self.call(
            "PATCH",
            f"{DATA}/sobjects/{person.kind}/{quote(person.id)}",
            {"OwnerId": owner},
            Sforce_Auto_Assign="FALSE",
        )

    @override
    async def task(self, person: Person, job: Job) -> str | None:
        # Description is a long text: SOQL cannot filter by it, so the newest are looked through here.
        tasks = await self._query(
            f"SELECT Id, Description FROM Task WHERE WhoId = {quoted(person.id)} ORDER BY CreatedDate DESC LIMIT {TASKS_SEEN}"
        )
        return next((str(one["Id"]) for one in tasks if marker(job.id) in (one.get("Description") or "")), None)

    @override
    async def make(self, person: Person, owner: str, job: Job) -> str:
        made = await self.call(
            "POST",
            f"{DATA}/sobjects/Task",
            {
                "Subject": job.subject,
                "Description": job.body,
                "WhoId": person.id,
                "OwnerId": owner,
                "ActivityDate": job.due_on.isoformat(),
                "Status": "Not Started",
                "Priority": "High",
            },
        )
        return str(made["id"])

    @override
    async def finish(self, task: str) -> None:
        await self.call("PATCH", f"{DATA}/sobjects/Task/{quote(task, safe='')}", {"Status": "Completed"}, missing=True)

    async def _query(self, soql: str) -> list[dict[str, Any]]:
        found = await self.call("GET", f"{DATA}/query?{urlencode({'q': soql})}")
        return list(found["records"])

    async def _sign_in(self) -> None:
        client_id, client_secret = self._client
        asked = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        reply = await self.http.call(
            "POST",
            "/services/oauth2/token",
            {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
            urlencode(asked).encode(),
        )
        if reply.status == 400:
            # invalid_client and the like: mended by a rotation, then what waits goes out.
            raise Ended(Result(outcome="failed", detail="sign-in refused (HTTP 400)"))
        self._token = str(self.read(reply)["access_token"])


KIND: Final = kind(
    "salesforce",
    "Salesforce (owner and task)",
    (
        Field("domain", "https://yourcompany.my.salesforce.com", max_chars=200),
        Field("client_id", "of the connected app (client credentials flow)", secret=True),
        Field("client_secret", "of the connected app", secret=True),
    ),
    Salesforce,
    per_s=2.0,
)

"""Far sides that keep people, owners and tasks as HubSpot, Salesforce and Pipedrive do."""

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support import farside
from tests.support.farside import Answer, Request

VERA = "vera@nordwind.example"
OWNERS = {"anna@aurora.example": 11, "ben@aurora.example": 12}


class Vendor:
    """What the three have in common: people by e-mail address, their owners, tasks, and moods."""

    def __init__(self, people: tuple[str, ...] = (VERA,)) -> None:
        self.people = {email: str(100 + n) for n, email in enumerate(people)}
        self.owners: dict[str, str] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.moods: dict[str, list[Answer]] = {}
        self.said: list[str] = []

    def __call__(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        word = f"{request.method} {url.path}"
        self.said.append(word)
        for part, answers in self.moods.items():
            if part in word and answers:
                answer = answers.pop(0)
                if answer.torn:
                    self.answer(request, word, unquote(url.path), query)
                return answer
        return self.answer(request, word, unquote(url.path), query)

    def answer(self, request: Request, word: str, path: str, query: dict[str, str]) -> Answer:
        raise NotImplementedError

    def add_task(self, **task: Any) -> str:
        number = str(900 + len(self.tasks))
        self.tasks[number] = {"done": False, **task}
        return number


class HubSpot(Vendor):
    """CRM API v3."""

    kind = "hubspot"

    def answer(self, request: Request, word: str, path: str, query: dict[str, str]) -> Answer:
        assert request.headers["authorization"] == "Bearer pat-test"
        contacts, tasks = "/crm/v3/objects/contacts", "/crm/v3/objects/tasks"
        if word == "GET /crm/v3/owners":
            found = OWNERS.get(query["email"])
            return farside.json({"results": [{"id": str(found)}] if found else []})
        if request.method == "GET" and path.startswith(contacts):
            found = self.people.get(path.rpartition("/")[2])
            assert query == {"idProperty": "email"}
            return farside.json({"id": found}) if found else farside.json({"status": "error"}, 404)
        if word == f"POST {contacts}":
            email = request.json["properties"]["email"]
            self.people[email] = str(100 + len(self.people))
            return farside.json({"id": self.people[email]}, 201)
        if request.method == "PATCH" and path.startswith(contacts):
            self.owners[path.rpartition("/")[2]] = request.json["properties"]["hubspot_owner_id"]
            return farside.json({})
        if word == f"POST {tasks}/search":
            asked = request.json["filterGroups"][0]["filters"][0]["value"]
            hits = [
                {"id": k, "properties": {"hs_task_body": t["body"]}}
                for k, t in self.tasks.items()
                if asked in re.findall(r"\w+", t["body"])  # whole words, as they search
            ]
            return farside.json({"results": hits})
        if word == f"POST {tasks}":
            wanted = request.json
            assert wanted["associations"][0]["types"][0]["associationTypeId"] == 204
            known = wanted["properties"]
            assert "<script" not in known["hs_task_body"]
            made = self.add_task(
                subject=known["hs_task_subject"],
                body=known["hs_task_body"],
                owner=known["hubspot_owner_id"],
                person=wanted["associations"][0]["to"]["id"],
            )
            return farside.json({"id": made}, 201)
        assert request.method == "PATCH"
        self.tasks[path.rpartition("/")[2]]["done"] = request.json["properties"]["hs_task_status"] == "COMPLETED"
        return farside.json({})


class Salesforce(Vendor):
    """REST API: a token by client credentials, SOQL, sobjects."""

    kind = "salesforce"
    converted = False

    def __init__(self, people: tuple[str, ...] = (VERA,)) -> None:
        super().__init__(people)
        self.token = 1

    def answer(self, request: Request, word: str, path: str, query: dict[str, str]) -> Answer:
        if path == "/services/oauth2/token":
            assert parse_qs(request.body.decode())["client_secret"] == ["s3cret"]
            return farside.json({"access_token": f"token{self.token}", "instance_url": "unused"})
        if request.headers["authorization"] != f"Bearer token{self.token}":
            return farside.json([{"errorCode": "INVALID_SESSION_ID"}], 401)
        if path.endswith("/query"):
            return farside.json({"records": self.query(query["q"])})
        if request.method == "POST" and path.endswith("/sobjects/Task"):
            wanted = request.json
            made = self.add_task(
                subject=wanted["Subject"], body=wanted["Description"], owner=wanted["OwnerId"], person=wanted["WhoId"]
            )
            return farside.json({"id": made, "success": True}, 201)
        if request.method == "POST":
            assert request.headers["sforce-auto-assign"] == "FALSE"
            assert request.json["LastName"]
            assert request.json["Company"]
            self.people[request.json["Email"]] = str(100 + len(self.people))
            return farside.json({"id": self.people[request.json["Email"]]}, 201)
        name = path.rpartition("/")[2]
        if "/sobjects/Task/" in path:
            self.tasks[name]["done"] = request.json["Status"] == "Completed"
        else:
            assert request.headers["sforce-auto-assign"] == "FALSE"
            assert ("/Contact/" in path) == self.converted
            self.owners[name] = request.json["OwnerId"]
        return Answer(204, body=b"")

    def query(self, soql: str) -> list[dict[str, Any]]:
        # A string of SOQL ends at the first quote that is not escaped; nothing of a lead's may stand behind it.
        strings = [re.sub(r"\\(.)", r"\1", s) for s in re.findall(r"'((?:[^'\\]|\\.)*)'", soql)]
        assert "evil" not in re.sub(r"'((?:[^'\\]|\\.)*)'", "''", soql)
        (asked,) = strings
        if "FROM User" in soql:
            return [{"Id": str(OWNERS[asked])}] if asked in OWNERS else []
        if "FROM Task" in soql:
            return [{"Id": k, "Description": t["body"]} for k, t in self.tasks.items() if t["person"] == asked][::-1]
        found = self.people.get(asked)
        if "FROM Lead" in soql and found:
            return [
                {"Id": found, "IsConverted": self.converted, "ConvertedContactId": found if self.converted else None}
            ]
        return []


class Pipedrive(Vendor):
    """API v1 and v2."""

    kind = "pipedrive"

    def __init__(self, people: tuple[str, ...] = (VERA,)) -> None:
        super().__init__(people)
        self.leads: dict[str, int] = {"1e4d": 1}
        self.users = {"joanna@aurora.example": 10, **OWNERS}

    def answer(self, request: Request, word: str, path: str, query: dict[str, str]) -> Answer:
        assert request.headers["x-api-token"] == "pd-test"
        match word:
            case "GET /api/v1/users/find":
                found = [(n, email) for email, n in self.users.items() if query["term"] in email]  # parts, as they do
                return self.data([{"id": n, "email": email, "active_flag": True} for n, email in found])
            case "GET /api/v2/persons/search":
                found = self.people.get(query["term"])
                return self.data({"items": [{"item": {"id": int(found)}}] if found else []})
            case "POST /api/v2/persons":
                self.people[request.json["emails"][0]["value"]] = str(100 + len(self.people))
                return self.data({"id": 100 + len(self.people) - 1})
            case "GET /api/v1/leads":
                return self.data([{"id": k, "owner_id": v, "is_archived": False} for k, v in self.leads.items()])
            case "GET /api/v2/activities":
                return self.data([{"id": int(k), "note": t["body"]} for k, t in self.tasks.items()])
            case "POST /api/v2/activities":
                wanted = request.json
                assert "<script" not in wanted["note"]
                person = str(wanted["participants"][0]["person_id"])
                made = self.add_task(
                    subject=wanted["subject"], body=wanted["note"], owner=str(wanted["owner_id"]), person=person
                )
                return self.data({"id": int(made)})
        name = path.rpartition("/")[2]
        if path.startswith("/api/v1/leads/"):
            self.leads[name] = request.json["owner_id"]
        elif "persons" in path:
            self.owners[name] = str(request.json["owner_id"])
        else:
            self.tasks[name]["done"] = request.json["done"]
        return self.data({})

    @staticmethod
    def data(content: Any) -> Answer:
        return farside.json({"success": True, "data": content})

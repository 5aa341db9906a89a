"""A Slack workspace of our own: the Web API as far as channels use it, in front of `farside.FarSide`."""

from urllib.parse import parse_qs

from tests.support import farside
from tests.support.farside import Answer, Request


class Workspace:
    """Slack's Web API, as far as we use it."""

    def __init__(self) -> None:
        self.messages: dict[str, list[dict]] = {}
        self.users = {"anna@aurora.example": "UANNA", "ben@aurora.example": "UBEN"}
        self.fail: list[Answer] = []
        self.history: bool | str = True
        self.tear = 0

    def __call__(self, request: Request) -> Answer:
        if request.path in ("/respond", "/hook"):
            return farside.text("ok")
        method = request.path.removeprefix("/")
        assert request.headers["authorization"] == "Bearer xoxb-test"
        if "urlencoded" in request.headers["content-type"]:
            asked = {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        else:
            asked = request.json
        if self.fail and method == "chat.postMessage":
            return self.fail.pop(0)
        if self.tear and method == "chat.postMessage":
            self.tear -= 1
            self.chat_postMessage(asked)
            return farside.torn()
        return farside.json(getattr(self, method.replace(".", "_"))(asked))

    def users_lookupByEmail(self, asked: dict) -> dict:
        user = self.users.get(asked["email"])
        return {"ok": True, "user": {"id": user}} if user else {"ok": False, "error": "users_not_found"}

    def users_info(self, asked: dict) -> dict:
        email = next((e for e, u in self.users.items() if u == asked["user"]), None)
        return (
            {"ok": True, "user": {"profile": {"email": email}}} if email else {"ok": False, "error": "user_not_found"}
        )

    def conversations_open(self, asked: dict) -> dict:
        return {"ok": True, "channel": {"id": "D" + asked["users"]}}

    def conversations_history(self, asked: dict) -> dict:
        if self.history is not True:
            return {"ok": False, "error": self.history or "missing_scope"}
        return {"ok": True, "messages": list(reversed(self.messages.get(asked["channel"], [])))}

    def chat_postMessage(self, asked: dict) -> dict:
        there = self.messages.setdefault(asked["channel"], [])
        there.append({**asked, "ts": f"17000000{len(there)}.0001"})
        return {"ok": True, "channel": asked["channel"], "ts": there[-1]["ts"]}

    def chat_update(self, asked: dict) -> dict:
        for one in self.messages.get(asked["channel"], []):
            if one["ts"] == asked["ts"]:
                one.update(asked)
                return {"ok": True, "channel": asked["channel"], "ts": asked["ts"]}
        return {"ok": False, "error": "message_not_found"}

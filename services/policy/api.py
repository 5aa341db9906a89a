"""The policy over HTTP: read, check, put in force, roll back, compare."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.policy.cache import PolicyCache
from services.policy.core.diff import diff_policies
from services.policy.core.lint import Known, lint_policy
from services.policy.core.model import policy_schema
from services.policy.core.problems import PolicyError
from services.policy.store import PolicyStore, Stored
from services.runtime.access import Identity, require
from services.runtime.errors import BadMessage, Refused
from services.runtime.http import ApiError
from services.runtime.paging import Cursor, Limit, decode_cursor, encode_cursor, page

MAX_INT = 2**31 - 1
PROBLEMS_SHOWN = 50

Reader = Annotated[Identity, Depends(require("marketing", "ops"))]
Writer = Annotated[Identity, Depends(require("marketing"))]
Version = Annotated[int, Field(ge=1, le=MAX_INT)]
_TEXT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["text"],
                    "properties": {"text": {"type": "string"}, "note": {"type": "string", "maxLength": 500}},
                }
            },
        },
    }
}


class PolicyText(BaseModel):
    """A policy in a JSON body."""

    model_config = ConfigDict(strict=True, extra="forbid")

    text: str
    note: str = Field(default="", max_length=500, pattern=r"^[^\x00]*$")


class Rollback(BaseModel):
    """Which version comes back; left out: the one before."""

    model_config = ConfigDict(strict=True, extra="forbid")

    to: Version | None = None


def policy_router(cache: PolicyCache, store: PolicyStore, known: Callable[[], Known] | None = None) -> APIRouter:
    """The routes.

    Args:
        known: Gives the pools and industries of the directory, for warnings; left out: those are not checked.
    """
    router = APIRouter(prefix="/v1/policy", tags=["policy"])
    _add_reads(router, store)
    _add_writes(router, cache, store, known or Known)
    return router


def _add_reads(router: APIRouter, store: PolicyStore) -> None:
    @router.get("")
    async def show(_caller: Reader) -> dict[str, Any]:
        """The policy in force."""
        stored = await store.active()
        if stored is None:
            msg = "no policy was ever put in force; PUT one here"
            raise Refused(msg, code="not_found")
        return {**_shown(stored), "text": stored.text}

    @router.get("/schema")
    async def schema(_caller: Reader) -> dict[str, Any]:
        """JSON Schema of the policy file, for editors."""
        return policy_schema()

    @router.get("/versions")
    async def versions(_caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
        """Every version, newest first: who saved it, when, and why."""
        before = decode_cursor(cursor, int)
        found = await store.history(limit + 1, min(before[0], MAX_INT) if before and before[0] > 0 else None)
        following = encode_cursor(found[limit - 1].version) if len(found) > limit else None
        return page([_shown(one) for one in found[:limit]], following)

    @router.get("/versions/{version}")
    async def version_(version: Version, _caller: Reader) -> dict[str, Any]:
        """One version with its text."""
        stored = await store.get(version)
        return {**_shown(stored), "text": stored.text}

    @router.get("/diff")
    async def diff(
        _caller: Reader,
        from_: Annotated[Version | None, Query(alias="from", description="Left out: the version before `to`")] = None,
        to: Annotated[Version | None, Query(description="Left out: the version in force")] = None,
    ) -> dict[str, Any]:
        """What changed between two versions, in words."""
        after = await store.get(to) if to is not None else await store.active()
        if after is None:
            msg = "no policy was ever put in force"
            raise Refused(msg, code="not_found")
        if from_ is not None:
            before = await store.get(from_)
        else:
            earlier = await store.history(1, after.version)
            before = earlier[0] if earlier else after
        return {"from": before.version, "to": after.version, "changes": await _changed(before.text, after.text)}


def _add_writes(router: APIRouter, cache: PolicyCache, store: PolicyStore, known: Callable[[], Known]) -> None:
    async def warnings_of(text: str) -> list[dict[str, Any]]:
        return [_plain(problem) for problem in await run_in_threadpool(lint_policy, text, known())]

    @router.post("/validate", openapi_extra=_TEXT_BODY)
    async def validate(request: Request, _caller: Reader) -> dict[str, Any]:
        """Check a policy without keeping it: problems with their place, warnings, and what it would change."""
        text = (await _sent(request)).text
        try:
            warnings = await warnings_of(text)
        except PolicyError as error:
            return {"ok": False, "problems": [_plain(p) for p in error.problems], "warnings": [], "changes": []}
        stored = await store.active()
        changes = await _changed(stored.text, text) if stored else []
        return {"ok": True, "problems": [], "warnings": warnings, "changes": changes}

    @router.put("", openapi_extra=_TEXT_BODY)
    async def put(request: Request, caller: Writer) -> dict[str, Any]:
        """Put a policy in force. Every process works by it within moments."""
        sent = await _sent(request)
        try:
            stored = await store.put(sent.text, _who(caller), sent.note)
        except PolicyError as error:
            raise _invalid(error) from error
        await cache.refresh()
        return {**_shown(stored), "warnings": await warnings_of(stored.text)}

    @router.post("/rollback")
    async def rollback(caller: Writer, asked: Rollback | None = None) -> dict[str, Any]:
        """Bring an earlier version back, under a new number."""
        try:
            stored = await store.rollback(_who(caller), asked.to if asked else None)
        except Refused as error:
            if error.code != "nothing_to_roll_back":
                raise
            raise ApiError(409, error.code, error.message) from error
        await cache.refresh()
        return {**_shown(stored), "text": stored.text}


async def _sent(request: Request) -> PolicyText:
    """The policy in a request: YAML as it is, or JSON with `text`."""
    body = await request.body()
    if "json" not in request.headers.get("content-type", ""):
        try:
            return PolicyText(text=body.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            msg = "the policy is not UTF-8 text"
            raise BadMessage(msg, code="not_utf8") from error
    try:
        return PolicyText.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f'send YAML, or JSON like {{"text": "…"}}: {where + ": " if where else ""}{first["msg"]}'
        raise ApiError(422, "invalid_request", message) from error


def _invalid(error: PolicyError) -> ApiError:
    count = len(error.problems)
    message = f"the policy has {count} problem{'' if count == 1 else 's'}; first: {error.problems[0]}"
    return ApiError(422, "invalid_policy", message, [_plain(p) for p in error.problems[:PROBLEMS_SHOWN]])


async def _changed(before: str, after: str) -> list[dict[str, Any]]:
    """The changes; nothing when the older text is not accepted by this release any more."""
    try:
        changes = await run_in_threadpool(diff_policies, before, after)
    except PolicyError:
        return []
    return [_plain(change) for change in changes]


def _who(caller: Identity) -> str:
    return caller.name or caller.role


def _plain(struct: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(struct)
    return plain


def _shown(stored: Stored) -> dict[str, Any]:
    plain = _plain(stored)
    del plain["text"]
    return plain

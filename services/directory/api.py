"""The directory over HTTP: accounts, reps, teams. Marketing (and admin) write; ops and reps read; reps edit their own absences."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.datastructures import UploadFile

from services.directory.bodies import AccountBody, AvailabilityBody, RepBody, TeamBody, reading
from services.directory.core import fields
from services.directory.core.accounts_csv import BYTES_MAX
from services.directory.core.domains import registrable
from services.directory.core.fields import FieldError
from services.directory.core.people import Pool, Rep
from services.directory.core.team_yaml import TeamError
from services.directory.imports import import_accounts, import_team
from services.directory.store import DirectoryCache, DirectoryStore
from services.runtime.access import Identity, require
from services.runtime.http import ApiError, Cursor, Limit, decode_place, encode_place, page

# For make_app(body_limits=…): files are larger than other bodies.
BODY_LIMITS: Final = {"/v1/accounts/import": BYTES_MAX + 65_536}

Reader = Annotated[Identity, Depends(require("marketing", "ops", "rep"))]
Writer = Annotated[Identity, Depends(require("marketing"))]
Domain = Annotated[str, Path(max_length=253, examples=["nordwind.example"])]
Key = Annotated[str, Path(max_length=64, examples=["anna"])]


def directory_router(cache: DirectoryCache, store: DirectoryStore) -> APIRouter:
    """The routes; writes are seen by the next read of the same process at once."""
    router = APIRouter(prefix="/v1", tags=["directory"])
    _account_routes(router, cache, store)
    _rep_routes(router, cache, store)
    _team_routes(router, cache, store)
    return router


def _account_routes(router: APIRouter, cache: DirectoryCache, store: DirectoryStore) -> None:
    @router.get("/accounts")
    async def list_accounts(
        _: Reader,
        q: Annotated[str | None, Query(max_length=100, description="Part of a domain or name")] = None,
        owner: Annotated[str | None, Query(max_length=64)] = None,
        named: bool | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> dict[str, Any]:
        """Accounts, newest first."""
        before = decode_place(cursor)
        rows = await store.list_accounts(q=q, owner=owner, named=named, limit=limit + 1, before=before)
        more = len(rows) > limit
        last = rows[limit - 1] if more else None
        return page(rows[:limit], encode_place(last["created_at"], last["domain"]) if last else None)

    @router.post("/accounts/import")
    async def import_csv(request: Request, _: Writer) -> dict[str, Any]:
        """Take a CSV file of accounts, as the body itself or as a form's file. Good rows are kept, bad ones told."""
        try:
            result = await import_accounts(store, await _file(request))
        except FieldError as error:
            raise ApiError(422, "bad_file", str(error)) from error
        await cache.refresh()
        return dict(msgspec.to_builtins(result))

    @router.get("/accounts/{domain}")
    async def get_account(domain: Domain, _: Reader) -> Mapping[str, Any]:
        """One account."""
        return await _account(store, domain)

    @router.put("/accounts/{domain}")
    async def put_account(domain: Domain, body: AccountBody, _: Writer) -> Mapping[str, Any]:
        """Write an account; what the body leaves out is cleared."""
        name = reading("domain", lambda: fields.account_domain(domain))
        async with store.changing("accounts") as pg:
            account = body.account(name, await store.reps(pg))
            taken = await store.networks(pg)
            clash = next((one for one in account.networks if taken.get(one, name) != name), None)
            if clash is not None:
                raise ApiError(
                    409,
                    "network_taken",
                    f"networks: {clash} belongs to {taken[clash]} already",
                    {"domain": taken[clash]},
                )
            await store.write_accounts(pg, [account], await store.accounts_of(pg, [name]))
        await cache.refresh()
        return await _account(store, name)

    @router.delete("/accounts/{domain}", status_code=204)
    async def delete_account(domain: Domain, _: Writer) -> None:
        """Take an account away. Leads keep what they have; the next event of each finds no account."""
        if not await store.delete_account(registrable(domain) or domain):
            raise ApiError(404, "not_found", f"there is no account {domain}")
        await cache.refresh()


def _rep_routes(router: APIRouter, cache: DirectoryCache, store: DirectoryStore) -> None:
    @router.get("/reps")
    async def list_reps(_: Reader, active: bool | None = None) -> dict[str, Any]:
        """Everybody, newest first, those who left included unless `active=true`."""
        return page([_shown(rep) for rep in cache.view.reps.values() if active is None or rep.active == active])

    @router.get("/reps/{rep_id}")
    async def get_rep(rep_id: Key, _: Reader) -> dict[str, Any]:
        """One rep, with what points at them if they have left."""
        return _told(cache, rep_id)

    @router.put("/reps/{rep_id}")
    async def put_rep(rep_id: Key, body: RepBody, _: Writer) -> dict[str, Any]:
        """Write a rep; absences stay. `active: false` answers with what still points at the person in `still_pointing`."""
        name = reading("id", lambda: fields.identifier(rep_id))
        async with store.changing("people") as pg:
            known = await store.reps(pg)
            await store.write_reps(pg, [body.rep(name, known)], known)
        await cache.refresh()
        return _told(cache, name)

    @router.patch("/reps/{rep_id}")
    async def patch_rep(rep_id: Key, body: AvailabilityBody, caller: Reader) -> dict[str, Any]:
        """Add or remove absences, pause alerts. A rep may do so for themselves only."""
        own = caller.role == "rep" and caller.rep == rep_id
        if not own and caller.role not in ("admin", "marketing"):
            raise ApiError(403, "forbidden", "only your own absences and alerts are yours to change")
        async with store.changing("people") as pg:
            known = await store.reps(pg)
            if rep_id not in known:
                raise ApiError(404, "not_found", f"there is no rep {rep_id}")
            if body.remove_absences:
                await store.remove_absences(pg, rep_id, body.remove_absences)
            await store.write_reps(pg, [body.applied(known[rep_id])], known)
        await cache.refresh()
        return _told(cache, rep_id)


def _team_routes(router: APIRouter, cache: DirectoryCache, store: DirectoryStore) -> None:
    @router.get("/teams")
    async def list_teams(_: Reader) -> dict[str, Any]:
        """Pools and their members, newest first."""
        return page([_team(pool) for pool in cache.view.pools.values()])

    @router.get("/teams/{name}")
    async def get_team(name: Key, _: Reader) -> dict[str, Any]:
        """One pool."""
        pool = cache.view.pool(name)
        if pool is None:
            raise ApiError(404, "not_found", f"there is no team {name}")
        return _team(pool)

    @router.put("/teams/{name}")
    async def put_team(name: Key, body: TeamBody, _: Writer) -> dict[str, Any]:
        """Write a pool: its members and their weights. An unknown or inactive rep is refused."""
        key = reading("name", lambda: fields.identifier(name))
        async with store.changing("people") as pg:
            pool = body.pool(key, await store.reps(pg))
            await store.write_pools(pg, [pool], await store.pools(pg))
        await cache.refresh()
        return _team(pool)

    @router.post("/teams/import")
    async def import_yaml(request: Request, _: Writer) -> dict[str, Any]:
        """Take a team file (YAML): all of it or, with problems, nothing."""
        text = (await _file(request)).decode("utf-8-sig", errors="replace")
        try:
            result = await import_team(store, text)
        except TeamError as error:
            raise ApiError(422, "bad_file", str(error), [msgspec.to_builtins(one) for one in error.problems]) from error
        await cache.refresh()
        return result

    @router.get("/directory/problems")
    async def list_problems(_: Reader) -> dict[str, Any]:
        """Owners, members and managers who have left or never were."""
        return page([msgspec.to_builtins(one) for one in await asyncio.to_thread(cache.view.problems)])


async def _file(request: Request) -> bytes:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body()
    async with request.form(max_files=1, max_fields=10) as form:
        upload = next((part for part in form.values() if isinstance(part, UploadFile)), None)
        if upload is None:
            raise ApiError(422, "bad_file", "the form holds no file; send one, or send the file as the body")
        return await upload.read()


async def _account(store: DirectoryStore, domain: str) -> Mapping[str, Any]:
    row = await store.account(registrable(domain) or domain)
    if row is None:
        raise ApiError(404, "not_found", f"there is no account {domain[:253]}")
    return row


def _told(cache: DirectoryCache, rep_id: str) -> dict[str, Any]:
    rep = cache.view.rep(rep_id)
    if rep is None:
        raise ApiError(404, "not_found", f"there is no rep {rep_id}")
    return {**_shown(rep), "still_pointing": [] if rep.active else cache.view.pointing_at(rep_id)}


def _shown(rep: Rep) -> dict[str, Any]:
    found = {name: getattr(rep, name) for name in rep.__struct_fields__}
    absences = [{"id": one.id, "from": one.start, "until": one.end, "note": one.note} for one in rep.absences]
    return {**found, "absences": absences}


def _team(pool: Pool) -> dict[str, Any]:
    return {"name": pool.name, "members": [{"rep": one.rep, "weight": one.weight} for one in pool.members]}

"""Our own CSS, JavaScript and pictures, under addresses that change with their content: cached for a year."""

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.runtime.http import answer

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Assets:
    """The static files, read once."""

    def __init__(self, folder: Path = FOLDER) -> None:
        paths = [path for path in sorted(folder.iterdir()) if path.suffix in TYPES]
        self._files = {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in paths}
        # One mark for all of them: modules import each other by name, so they must change together.
        whole = hashlib.sha256()
        for name, (content, _) in self._files.items():
            whole.update(name.encode() + b"\0" + content)
        self._mark = whole.hexdigest()[:12]

    def address(self, name: str) -> str:
        """The address of a file, with its content hash. Raises `KeyError` for a file that is not there."""
        if name not in self._files:
            raise KeyError(name)
        return f"/console/{self._mark}/{name}"

    def route(self) -> BaseRoute:
        """Serves them."""

        async def asset(request: Request) -> Response:
            found = self._files.get(request.path_params["name"])
            if found is None:
                return answer(404, "not_found", "there is no such file; reload the page")
            content, kind = found
            # While replicas change to another release, a page of one asks the other: ours is better than none, for now.
            ours = request.path_params["mark"] == self._mark
            headers = {
                "cache-control": "public, max-age=31536000, immutable" if ours else "no-store",
                "cross-origin-resource-policy": "same-origin",
            }
            return Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)

        return Route("/console/{mark}/{name}", asset, methods=["GET"])

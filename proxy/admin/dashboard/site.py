"""The dashboard's files and what a browser may do with them: nothing but what comes from here, and no script but ours.

They hold nothing that is anybody's, so that they need no token; what they show does.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).with_name("page")
INDEX: Final = "index.html"
KINDS: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked again each time: modules of two versions do not fit together
}


@dataclass(frozen=True, slots=True)
class File:
    body: bytes
    kind: str
    etag: str


def files(folder: Path = FOLDER) -> dict[str, File]:
    """By name, as they are now: read once, when the gateway begins."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in KINDS:
            body = path.read_bytes()
            found[path.name] = File(body, KINDS[path.suffix], hashlib.sha256(body).hexdigest()[:16])
    return found


class Site:
    """Paths are relative throughout: a proxy may have put something before them."""

    def __init__(self, found: Mapping[str, File]) -> None:
        self._files = found

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.to_page),
            web.get("/dashboard", self.to_page),
            web.get("/dashboard/", self.file),
            web.get(r"/dashboard/{name:[a-z]+\.(?:css|js|svg)}", self.file),
        ]

    async def to_page(self, request: web.Request) -> web.Response:
        return web.Response(status=307, headers={**HEADERS, "Location": "dashboard/"})

    async def file(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info.get("name", INDEX))
        if found is None:
            raise web.HTTPNotFound
        answer = web.Response(body=found.body, headers={**HEADERS, "Content-Type": found.kind})
        answer.etag = found.etag
        if request.if_none_match and any(one.value in (found.etag, "*") for one in request.if_none_match):
            answer.set_status(304)
            answer.body = None
        return answer

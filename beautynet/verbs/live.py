"""The network before a camera: a page with the original and the dream side by side, and the studio."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from beautynet.console import console
from beautynet.errors import BeautyError
from beautynet.files import Paths
from beautynet.web import naming, studio
from beautynet.web.server import HOST, Refused, Server, is_loopback
from beautynet.web.templates import filled
from beautynet.web.viewing import Stage, Viewer

_TYPES = {".js": "text/javascript", ".css": "text/css"}
PAGES = Path(__file__).parent.parent / "pages"


def live(
    checkpoint: str | Path | None = None,
    *,
    camera: int | str | None = None,
    films: str | Path = ".",
    host: str = HOST,
    port: int | None = None,
    token: str | None = None,
    device: str = "auto",
    colors: Paths = (),
    browser: bool = True,
) -> None:
    """Serve the page until Ctrl-C: `checkpoint` (None: the newest) first, the others in `checkpoints/` to choose from.

    `camera` is one of this machine (its number) or of the network (rtsp://…), beside those of the visitors' browsers;
    `films` is the folder whose dreams the studio shows. On another `host` than loopback visitors need `token`, which is
    made up if it is not given. Raises BeautyError.
    """
    with tempfile.TemporaryDirectory(prefix="beautynet-", ignore_cleanup_errors=True) as uploads:
        stage = Stage(
            checkpoint, Path(uploads), camera=None if camera is None else str(camera), device=device, colors=colors
        )
        try:
            server = Server(routes(stage, Path(films)), port, host, token)
            console.print(f"{server.url}\nis open until you press Ctrl-C here", soft_wrap=True)
            if not is_loopback(host):
                console.print(
                    f"the token is {server.token}; browsers lend a page their camera only over https or on this very "
                    "machine: others can show pictures and films, and see this machine's camera (--camera 0)",
                )
            server.run(browser and is_loopback(host))
        finally:
            stage.close()


def routes(stage: Stage, films: Path = Path()) -> list[BaseRoute]:
    """What is answered."""

    async def about(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(stage.about), headers={"Cache-Control": "no-store"})

    async def upload(request: Request) -> Response:
        try:
            return JSONResponse({"upload": await stage.upload(request)})
        except Refused as refused:
            return refused.answer()
        except BeautyError:
            return JSONResponse({"error": "neither a film nor a picture that can be read"}, 400)
        except OSError as error:
            return JSONResponse({"error": f"no room for it here ({error.strerror})"}, 507)

    async def stream(socket: WebSocket) -> None:
        await Viewer(stage, socket).run()

    async def page(_: Request) -> Response:
        return HTMLResponse(filled("live"))

    return [
        Route("/", page),
        Route("/about", about),
        Route("/uploads", upload, methods=["POST"]),
        WebSocketRoute("/stream", stream),
        Mount("/studio", routes=studio.routes(films)),
        *([Mount("/hand", routes=naming.routes(stage.classifier))] if stage.classifier else []),
        *(Route(f"/{path.name}", _file(path)) for path in PAGES.iterdir() if path.suffix in _TYPES),
    ]


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return FileResponse(path, media_type=_TYPES[path.suffix])  # a Windows may have others, and browsers refuse them

    return answer

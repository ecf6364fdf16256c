"""The Prefect API of one start, as a process of its own: who does not know the start's secret gets nothing.

Prefect's API runs code: whoever may create a deployment can have the worker run a shell script. So beside
Prefect's own check every request has to carry the secret, to name this very address as its host, and to come
from no web page (a browser says where its pages come from; nothing here is for browsers).

    python -P -m flows.api SOCKET FOLDER [--template FOLDER]

SOCKET is the number of a listening socket that the parent lends. With --template the server works on a copy
of that database in a temporary folder, which goes with it: many may run at once, and no start migrates anew.
"""

import argparse
import asyncio
import hmac
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from flows.environment import SECRET, authorization
from inspection.garbage import collect_seldom
from inspection.workspace.files import replacing, write_whole

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DATABASE = "prefect.db"
PROTOCOL = "prefect"  # of the websockets of Prefect's clients
TELLING = 5  # seconds in which they tell the secret
MEMORY = "memo_store.toml"  # where Prefect notes that its block types stand in the database


class Private:
    """Refuses every request that is not one of this start's own processes'."""

    def __init__(self, app: "ASGIApp", secret: str, host: str) -> None:
        self.app = app
        self.host = host
        self.authorization = authorization(secret)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on what is admitted."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif self._is_ours(scope) and self._knows(Headers(scope=scope).get("authorization", "")):
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("This address is not for you.", 403)(scope, receive, send)

    def _is_ours(self, scope: "Scope") -> bool:
        headers = Headers(scope=scope)
        return headers.getlist("host") == [self.host] and "origin" not in headers

    def _knows(self, told: str) -> bool:
        return hmac.compare_digest(told.encode(), self.authorization.encode())

    async def _socket(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on a websocket whose first message, soon after it opened, tells the secret.

        Prefect's clients tell it there; Prefect would wait for it for ever, with one of its places taken.
        """
        opening = [await receive()]
        if not self._is_ours(scope) or PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        with suppress(TimeoutError):
            opening.append(await asyncio.wait_for(receive(), TELLING))
        if not self._tells(opening[-1]):
            await send({"type": "websocket.close", "code": 1008})
            return

        async def again() -> "Message":
            return opening.pop(0) if opening else await receive()

        async def after_accepting(message: "Message") -> None:
            if message["type"] != "websocket.accept":
                await send(message)

        await self.app(scope, again, after_accepting)

    def _tells(self, message: "Message") -> bool:
        try:
            told = authorization(json.loads(message.get("text") or "")["token"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return False
        return self._knows(told)


class _Server(uvicorn.Server):
    """Keeps the database as it is after the first start, for the next."""

    def __init__(self, config: uvicorn.Config, template: Path | None) -> None:
        super().__init__(config)
        self.template = template

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and keep a copy once."""
        await super().startup(sockets)
        if self.template and not self.should_exit and not (self.template / MEMORY).is_file():
            with suppress(OSError, sqlite3.Error):  # the next start makes its own, too
                self._keep(self.template)

    def _keep(self, template: Path) -> None:
        template.mkdir(parents=True, exist_ok=True)
        with replacing(template / DATABASE) as copy, closing(sqlite3.connect(DATABASE)) as database:
            database.execute("VACUUM INTO ?", [str(copy)])
        write_whole(template / MEMORY, Path(MEMORY).read_bytes())


def main() -> None:
    """Serve until ended."""
    collect_seldom()
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--template", type=Path)
    options = parser.parse_args()
    listener = socket.socket(fileno=options.socket)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # to which uvicorn passes the signal that ended it
    with ExitStack() as stack:
        folder = options.folder
        if options.template:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fmi-prefect-")))
            if (options.template / MEMORY).is_file():
                for name in (DATABASE, MEMORY):
                    shutil.copy(options.template / name, folder)
        # Relative: a path may hold %, ? or #, which mean something else in a database's address.
        os.chdir(folder)
        os.environ["PREFECT_HOME"] = str(folder)
        os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{DATABASE}"
        from prefect.server.api.server import create_app

        app = create_app(webserver_only=bool(options.template), final=True)
        private = Private(app, os.environ[SECRET], "{}:{}".format(*listener.getsockname()))
        config = uvicorn.Config(private, log_level="warning", server_header=False, proxy_headers=False)
        _Server(config, options.template).run(sockets=[listener])


def _leave(code: object) -> None:
    """Leave with everything done, without taking the interpreter down, which takes nearly a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    try:
        main()
    except SystemExit as ended:  # by the signal to which it ends
        _leave(ended.code)

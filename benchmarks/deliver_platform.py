"""A platform that takes scores and answers after a fixed time, in a process of its own."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from aiohttp import web


@contextmanager
def serve(answer_seconds: float) -> Iterator[str]:
    """Run the platform while the block runs, and give its address.

    ``/token`` gives a token, ``/column/scores`` takes scores, ``/book`` tells (score, moment) of each user.
    """
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(answer_seconds, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def _run(answer_seconds: float, port: Connection) -> None:
    asyncio.run(_serve(answer_seconds, port))


async def _serve(answer_seconds: float, port: Connection) -> None:
    book: dict[str, list[tuple[float, float]]] = {}

    async def give_token(_request: web.Request) -> web.Response:
        return web.json_response({"access_token": "token", "token_type": "bearer", "expires_in": 3600})

    async def take_score(request: web.Request) -> web.Response:
        at = time.perf_counter()
        score = json.loads(await request.read())
        await asyncio.sleep(answer_seconds)
        book.setdefault(score["userId"], []).append((score["scoreGiven"], at))
        return web.Response()

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(book)

    app = web.Application()
    app.add_routes(
        [web.post("/token", give_token), web.post("/column/scores", take_score), web.get("/book", show)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port.send(runner.addresses[0][1])
    await asyncio.Event().wait()


if __name__ == "__main__":
    with serve(float(sys.argv[1])) as address:
        print(address, flush=True)
        time.sleep(3600)

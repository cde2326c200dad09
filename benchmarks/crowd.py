"""A crowd of browsers that launch all at once, each for a person of its own, and look at whose page they get.

Nothing here knows the product: a crowd asks any address that speaks the tool's side of a launch.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.fakes.lti_platform import CLAIM, LtiPlatform, make_key

# What the tool answers, and what the platform does in between.
STEPS = ("login", "sign", "launch", "entry", "home")
AT_THE_DOOR = 32
NAME = re.compile(r"Person \d{5}x")
TOKEN = re.compile(r'X-Rm-Session": "([0-9a-f]+)"')
_signing: dict[str, Any] = {}


@dataclass(frozen=True)
class Member:
    """Somebody who takes part. No name is a part of another."""

    number: int

    @property
    def name(self) -> str:
        return f"Person {self.number:05}x"

    @property
    def employee_number(self) -> str:
        return f"E{self.number:05}"


@dataclass
class Outcome:
    """How one person's launch went.

    :ivar seconds: step -> how long it took.
    :ivar lost: why no page came; None when one did.
    :ivar crossed: what was seen of other people, or not seen of this one; None when all was right.
    :ivar resent: requests sent again because the server had closed the kept connection, as browsers do.
    :ivar asked_at: when the last request was begun, by this process's own clock.
    """

    member: Member
    seconds: dict[str, float] = field(default_factory=dict)
    token: str | None = None
    lost: str | None = None
    crossed: str | None = None
    resent: int = 0
    asked_at: float = 0.0

    @property
    def whole(self) -> float:
        """From the click to the first page read."""
        return sum(self.seconds[step] for step in STEPS if step != "home")


@dataclass
class Wave:
    """What came of one launch of everybody.

    :ivar most_at_once: launches that were under way at the same time.
    """

    outcomes: list[Outcome]
    seconds: float
    most_at_once: int

    @property
    def faults(self) -> list[str]:
        """Name everything that must never happen, one line each."""
        faults = [f"{o.member.name} lost: {o.lost}" for o in self.outcomes if o.lost]
        faults += [f"{o.member.name} cross-wired: {o.crossed}" for o in self.outcomes if o.crossed]
        tokens = Counter(o.token for o in self.outcomes if o.token)
        return faults + [f"one session token for {n} people" for n in tokens.values() if n > 1]


class SigningPlatform(LtiPlatform):
    """The strict platform of the tests, which signs in processes of its own so that a crowd need not wait."""

    def __init__(self, processes: int = 2) -> None:
        super().__init__(make_key("crowd"), dict, lambda: datetime.now(UTC))
        pem = self.keys[-1].export_to_pem(private_key=True, password=None)
        self.signers = ProcessPoolExecutor(processes, get_context("spawn"), _keep_key, (pem,))

    def __enter__(self) -> Self:
        # Their start is nobody's launch.
        list(self.signers.map(_sign, [{}] * 100))
        return super().__enter__()

    def __exit__(self, *problem: object) -> None:
        super().__exit__(*problem)
        self.signers.shutdown()

    async def sign(self, query: dict[str, str], member: Member, target: str) -> str:
        """Give the token that a login of this person earns."""
        about = {
            "sub": f"user-{member.number}",
            "name": member.name,
            "given_name": "Person",
            "family_name": member.name.split()[1],
            "email": f"p{member.number}@company.example",
            CLAIM + "target_link_uri": target,
            CLAIM + "custom": {"emp": member.employee_number},
        }
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.signers, _sign, self.claims(query, **about))


def _keep_key(pem: bytes) -> None:
    _signing["key"] = load_pem_private_key(pem, password=None)


def _sign(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, _signing["key"], "RS256", headers={"kid": "crowd"})


class Browser:
    """One person's browser: cookies and connections of its own.

    :param base: the tool's address without a path.
    :param door: so many browsers connect and send at a time; all the others' requests wait at the server.
    """

    def __init__(self, base: str, member: Member, platform: SigningPlatform, door: asyncio.Semaphore) -> None:
        self.base, self.member, self.platform, self.door = base, member, platform, door
        watch = aiohttp.TraceConfig(trace_config_ctx_factory=lambda trace_request_ctx: trace_request_ctx)
        watch.on_connection_reuseconn.append(_note_reuse)
        watch.on_request_headers_sent.append(_note_sent)
        self.http = aiohttp.ClientSession(
            # To browsers, loopback is as good as https.
            cookie_jar=aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=base),
            connector=aiohttp.TCPConnector(limit=1),
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=[watch],
        )

    async def launch(self) -> Outcome:
        """Go from the click to the first page, and to one more page with that page's session."""
        outcome = Outcome(self.member)
        try:
            await self._launch(outcome)
        except _Unexpected as problem:
            outcome.lost = str(problem)
        except (aiohttp.ClientError, OSError, asyncio.CancelledError) as error:
            step = STEPS[len(outcome.seconds)] if len(outcome.seconds) < len(STEPS) else "home"
            waited = time.perf_counter() - outcome.asked_at
            outcome.lost = f"{step}: {type(error).__name__} after {waited:.1f} s"
        return outcome

    async def _launch(self, outcome: Outcome) -> None:
        target = f"{self.base}/lti/launch"
        request = {
            "iss": self.platform.issuer,
            "client_id": self.platform.client_id,
            "login_hint": str(self.member.number),
            "target_link_uri": target,
            "lti_deployment_id": self.platform.deployment_id,
        }
        # Platforms log in by either method.
        posts = self.member.number % 2
        login = ("POST", {"data": request}) if posts else ("GET", {"params": request})
        _text, where = await self._ask(outcome, "login", login[0], "/lti/login", 302, **login[1])
        query = {name: values[0] for name, values in parse_qs(urlsplit(where).query).items()}
        started = time.perf_counter()
        token = await self.platform.sign(query, self.member, target)
        outcome.seconds["sign"] = time.perf_counter() - started
        form = {"state": query["state"], "id_token": token}
        _text, where = await self._ask(outcome, "launch", "POST", "/lti/launch", 303, data=form)
        page, _ = await self._ask(outcome, "entry", "GET", where, 200)
        found = TOKEN.search(page)
        if found is None:
            raise _Unexpected("entry: the page carries no session")
        outcome.token = found[1]
        again, _ = await self._ask(
            outcome, "home", "GET", "/home", 200, headers={"X-Rm-Session": outcome.token}
        )
        for step, text in (("entry", page), ("home", again)):
            seen = set(NAME.findall(text))
            if seen != {self.member.name}:
                outcome.crossed = f"{step} shows {sorted(seen) or 'nobody'}"

    async def _ask(
        self, outcome: Outcome, step: str, method: str, path: str, expected: int, **options: Any
    ) -> tuple[str, str]:
        """Give the text and the address that the answer leads to; the answer must have that status."""
        started = time.perf_counter()
        for last in (False, True):
            await self.door.acquire()
            outcome.asked_at = time.perf_counter()
            seen = _Seen(self.door)
            try:
                async with self.http.request(
                    method,
                    urljoin(self.base, path),
                    allow_redirects=False,
                    trace_request_ctx=seen,
                    **options,
                ) as answer:
                    text = await answer.text()
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # Every browser sends again when a kept connection turns out to be closed, and only then.
                if last or not seen.reused:
                    raise
                outcome.resent += 1
            else:
                break
            finally:
                seen.leave_door()
        if answer.status != expected:
            title = re.search(r"<h1[^>]*>([^<]*)", text)
            raise _Unexpected(f"{step}: {answer.status} {title[1] if title else ''}".rstrip())
        outcome.seconds[step] = time.perf_counter() - started
        return text, answer.headers.get("Location", "")


class _Unexpected(Exception):  # noqa: N818 - an answer, not a fault of this program.
    """Another answer than a launch needs."""


class _Seen:
    """What is known of one request.

    One program stands for thousands of machines. Were all to connect first and to send later, the last would
    be too late: the server closes connections on which nothing comes for seven seconds.
    """

    def __init__(self, door: asyncio.Semaphore) -> None:
        self.door, self.at_door, self.reused = door, True, False

    def leave_door(self) -> None:
        """Let the next one send."""
        if self.at_door:
            self.at_door = False
            self.door.release()


async def _note_reuse(_session: Any, seen: _Seen, _parameters: Any) -> None:
    seen.reused = True


async def _note_sent(_session: Any, seen: _Seen, _parameters: Any) -> None:
    seen.leave_door()


class Crowd:
    """Browsers of everybody, used as an asynchronous context; each wave sends all of them at once.

    :param bound: seconds after which a wave is ended; who has no page by then is lost.
    """

    def __init__(self, base: str, people: int, platform: SigningPlatform, *, bound: float = 300) -> None:
        self.base, self.platform, self.bound = base, platform, bound
        self.members = [Member(number) for number in range(people)]
        self._stack = AsyncExitStack()
        self._under_way = self._most = 0

    async def __aenter__(self) -> Self:
        door = asyncio.Semaphore(AT_THE_DOOR)
        self.browsers = [Browser(self.base, member, self.platform, door) for member in self.members]
        for browser in self.browsers:
            await self._stack.enter_async_context(browser.http)
        return self

    async def __aexit__(self, *_problem: object) -> None:
        await self._stack.aclose()

    async def wave(self) -> Wave:
        """Let everybody launch at the same moment, and wait for all."""
        self._most = 0
        started = time.perf_counter()
        tasks = [asyncio.create_task(self._one(browser)) for browser in self.browsers]
        _done, late = await asyncio.wait(tasks, timeout=self.bound)
        for task in late:
            task.cancel()
        outcomes = await asyncio.gather(*tasks)
        return Wave(outcomes, time.perf_counter() - started, self._most)

    async def _one(self, browser: Browser) -> Outcome:
        self._under_way += 1
        self._most = max(self._most, self._under_way)
        try:
            return await browser.launch()
        finally:
            self._under_way -= 1

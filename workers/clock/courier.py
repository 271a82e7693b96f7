"""Brings webhooks their messages, from the process of the sweep; whatever can't be brought is tried again.

Where a message goes was written by a user, so nothing of ours may be reachable by it: every address
that its host's name has must be public, the connection goes to one of those that were looked at, and
nobody is followed elsewhere.
"""

import asyncio
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from jobs.errors import InvalidParameter, ServiceUnavailable
from jobs.store import Database, webhooks
from jobs.store.webhooks import DueMessage
from jobs.webhooks import check_url, is_public, signature

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0

FORGET_EVERY_S = 3600.0

TRY_S = 15.0
"""For name, connection, sending and the answer's head: a receiver is to take a message, not to work on it."""

AT_ONCE = webhooks.ROWS_PER_ROUND
"""All of a round: a receiver waits for no other, and for no other's name, as each look has a thread."""

NOTES_AT_ONCE = 4

LONGEST_TROUBLE = 200

GONE = 410


class NotPublic(OSError):
    """The host has an address that is not public."""


class PublicOnly(AbstractResolver):
    """Resolves names; refuses one of which any address is not public. What it returns is connected to."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses.

        Raises:
            NotPublic: one of them is not public.
        """
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(one["host"]) for one in found):
            raise NotPublic(errno.EACCES, "its host has an address that is not public")
        return found

    async def close(self) -> None:
        """Close the resolver behind it."""
        await self._resolver.close()


class Courier:
    """Writes and brings messages, in a thread and with an event loop of its own."""

    def __init__(
        self,
        database: Database,
        *,
        to_private: bool,
        resolver: Callable[[], AbstractResolver] = ThreadedResolver,
    ) -> None:
        self._database = database
        self._to_private = to_private
        self._resolver = resolver
        self._stopped = threading.Event()
        self._forgets_at_s = 0.0

    def start(self) -> None:
        """Look for messages from now on."""
        threading.Thread(target=self._work, name="courier", daemon=True).start()

    def stop(self) -> None:
        """Look no longer; what is being brought is tried again by the next one."""
        self._stopped.set()

    def round(self) -> int:
        """Write what is new, bring what is due, and return how many tries there were."""
        with self._database.read() as session:
            work = webhooks.look(session)
        if work.batches:
            with self._database.write() as session:
                webhooks.write_messages(session)
        for project_id in work.capped:
            with self._database.write() as session:
                webhooks.write_budget_messages(session, project_id)
        if self._forgets_at_s <= (now_s := time.monotonic()):
            self._forgets_at_s = now_s + FORGET_EVERY_S
            with self._database.write() as session:
                webhooks.forget_old(session)
        if not (work.batches or work.capped or work.is_due):
            return 0
        with self._database.write() as session:
            due = webhooks.take_due(session)
        if due:
            asyncio.run(self._bring(due))
        return len(due)

    def _work(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                while self.round() and not self._stopped.is_set():
                    pass
            except ServiceUnavailable as error:
                log.warning("webhooks: %s", error)
            except Exception:  # the next round tries again
                log.exception("webhooks are not told")

    async def _bring(self, due: Any) -> None:
        threads = ThreadPoolExecutor(AT_ONCE + NOTES_AT_ONCE, thread_name_prefix="courier")
        asyncio.get_running_loop().set_default_executor(threads)
        inner = self._resolver()
        connector = aiohttp.TCPConnector(
            resolver=inner if self._to_private else PublicOnly(inner),
            limit=AT_ONCE,
            force_close=True,
            use_dns_cache=False,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TRY_S),
            trust_env=False,
        ) as client:
            notes = asyncio.Semaphore(NOTES_AT_ONCE)

            async def bring(message: DueMessage) -> None:
                trouble, is_gone = await self._try(client, message)
                async with notes:
                    await asyncio.to_thread(self._note, message, trouble, is_gone)

            await asyncio.gather(*map(bring, due))

    def _note(self, message: DueMessage, trouble: str | None, is_gone: bool) -> None:
        if trouble is not None:
            host = urlsplit(message.url).hostname
            log.warning("webhook message %s to %s: %s", message.ref, host, trouble)
        with self._database.write() as session:
            webhooks.note_try(session, message, trouble, is_gone=is_gone)

    async def _try(
        self, client: aiohttp.ClientSession, message: DueMessage
    ) -> tuple[str | None, bool]:
        """Bring a message; return what went wrong, None if nothing did, and whether nobody lives there."""
        sent_at_s = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "tidemill",
            "webhook-id": message.ref,
            "webhook-timestamp": str(sent_at_s),
            "webhook-signature": signature(message.secret, message.ref, sent_at_s, message.body),
        }
        try:
            # Again: what may be configured was another thing when it was written, and addresses
            # that are no names are resolved by nobody.
            check_url(message.url, to_private=self._to_private)
            async with client.post(
                message.url,
                data=message.body.encode(),
                headers=headers,
                allow_redirects=False,
            ) as answer:
                if 200 <= answer.status < 300:
                    return None, False
                return f"HTTP {answer.status}", answer.status == GONE
        except InvalidParameter as error:
            return error.message[:LONGEST_TROUBLE], False
        except TimeoutError:
            return f"no answer within {TRY_S:g} s", False
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:LONGEST_TROUBLE], False

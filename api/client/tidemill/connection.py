"""Where the server is, and one request to it: without asking twice, and with our own errors."""

import asyncio
import ipaddress
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from .asks import ANSWER_S, Ask
from .errors import ConfigurationError, ServiceUnavailable
from .problems import error_from
from .upload import Upload

DEFAULT_URL = "http://127.0.0.1:8080"

CONNECT_S = 5.0


def open_http(url: str, key: str | None) -> httpx.Client:
    """Return the HTTP client for the server at `url`.

    Raises:
        ConfigurationError: `url` is not an http or https address, or `key` can't be one.
    """
    return httpx.Client(**_arguments(url, key))


def open_async_http(url: str, key: str | None) -> httpx.AsyncClient:
    """Return the same for asyncio. Raises as `open_http`."""
    return httpx.AsyncClient(**_arguments(url, key))


def _arguments(url: str, key: str | None) -> dict[str, Any]:
    try:
        host = urlsplit(url).hostname
        base_url = httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        host, base_url = None, httpx.URL("")
    if not host or base_url.scheme not in {"http", "https"}:
        raise ConfigurationError(f"{url!r} is not the address of a server: http://HOST:PORT")
    headers = {"user-agent": "tidemill"}
    if key:
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("the API key holds characters that no key has")
        headers["authorization"] = f"Bearer {key}"
    is_near = _is_loopback(host)
    if is_near:
        # On one machine packing costs more than it saves.
        headers["accept-encoding"] = "identity"
    # A proxy that the environment names can't reach this machine's own loopback.
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    return {"base_url": base_url, "headers": headers, "timeout": timeout, "trust_env": not is_near}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url_of_environment() -> str:
    """Return the address that TIDEMILL_URL gives, else that of a server on this machine."""
    return os.environ.get("TIDEMILL_URL") or DEFAULT_URL


def key_of_environment() -> str | None:
    """Return the key of TIDEMILL_API_KEY, else of the file `api-key` in TIDEMILL_HOME (`.tidemill`)."""
    if key := os.environ.get("TIDEMILL_API_KEY"):
        return key
    home = Path(os.environ.get("TIDEMILL_HOME") or ".tidemill")
    try:
        return (home / "api-key").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def send(http: httpx.Client, ask: Ask[Any]) -> httpx.Response:
    """Return the answer to a request that is sent once.

    Raises:
        TidemillError: as the answer says; `ServiceUnavailable` also where there is none.
    """
    content = ask.body.blocks() if isinstance(ask.body, Upload) else None
    request = http.build_request(**_parts(ask), content=content)
    with _reachability(request, ask):
        response = http.send(request)
    return _checked(response)


def pieces_of(http: httpx.Client, ask: Ask[Any]) -> Iterator[bytes]:
    """Yield the bytes of an answer as they arrive; their end says that it is whole. Raises as `send`."""
    request = http.build_request(**_parts(ask))
    with _reachability(request, ask):
        response = http.send(request, stream=True)
        with closing(response):
            if not response.is_success:
                response.read()
            yield from _checked(response).iter_bytes()


async def send_async(http: httpx.AsyncClient, ask: Ask[Any]) -> httpx.Response:
    """Do the same in asyncio; blocks are read in a thread. Raises as `send`."""
    content = _in_a_thread(ask.body.blocks()) if isinstance(ask.body, Upload) else None
    request = http.build_request(**_parts(ask), content=content)
    with _reachability(request, ask):
        response = await http.send(request)
    return _checked(response)


async def _in_a_thread(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block


def _parts(ask: Ask[Any]) -> dict[str, Any]:
    headers = dict(ask.headers)
    if isinstance(ask.body, Upload):
        headers = {**ask.body.headers, **headers}
    return {
        "method": ask.method,
        "url": ask.path,
        "params": dict(ask.params) or None,
        "json": None if isinstance(ask.body, Upload) else ask.body,
        "headers": headers,
        "timeout": httpx.Timeout(ask.timeout_s, connect=CONNECT_S),
    }


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    raise error_from(response)


@contextmanager
def _reachability(request: httpx.Request, ask: Ask[Any]) -> Iterator[None]:
    address = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
    doubt = "" if ask.may_repeat else "; it may have been done, so look before asking again"
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ServiceUnavailable(f"no server answers at {address}", code=UNREACHED) from error
    except httpx.TimeoutException as error:
        raise ServiceUnavailable(f"{address} does not answer in time{doubt}") from error
    except httpx.HTTPError as error:
        raise ServiceUnavailable(
            f"the connection to {address} was lost ({error}){doubt}"
        ) from error


UNREACHED = "no_server"
"""The code of an error that no server has told: there is none at the address."""


def object_of(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        ServiceUnavailable: it is none, so what answers is not Tidemill.
    """
    try:
        value = json.loads(response.content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ServiceUnavailable(f"what answers at {response.url} is not Tidemill")
    return value

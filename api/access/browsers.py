"""What browsers are told with every answer, and what a page of another site may not ask for.

Keys come in headers, which no page of another site can add without being allowed to, and nobody is:
no answer has a CORS header. So a forged request has no key already; that it is refused by where it
comes from holds also for whatever will not need one.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem_of
from api.headers import TOLD
from jobs.errors import CrossSite

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

STARTS = frozenset({"http.response.start", "websocket.http.response.start"})
"""Of an answer, and of the refusal of a WebSocket."""


class BrowserRules:
    """The middleware around everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers; refuse what a foreign page wants to change."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in STARTS:
                headers = MutableHeaders(scope=message)
                for name, value in TOLD.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self.app
        # A WebSocket's request has no method: other sites' pages may open one, and read what it says.
        if scope.get("method") not in SAFE_METHODS and is_cross_site(Headers(scope=scope)):
            app = problem_of(CrossSite())
        await app(scope, receive, send_with_headers)


def is_cross_site(headers: Headers) -> bool:
    """Whether a page of another origin has sent this.

    Browsers say it in `Sec-Fetch-Site`, which no page can change; older ones have `Origin` to compare
    with the host that was asked. Programs send neither.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")

"""Routes that answer people: pages with a policy of their own, and errors as pages."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse

from api.access.logins import drop, token_of
from api.dashboard.rendering import render
from api.errors import problem_of, status_of
from jobs.errors import NotAuthorised, TidemillError


class PageRoute(APIRoute):
    """A route whose errors are pages; whoever has no login is sent where one begins."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler that FastAPI makes, with its errors shown to a person."""
        handle = super().get_route_handler()

        async def handle_for_people(request: Request) -> Response:
            try:
                return await handle(request)
            except NotAuthorised:
                return _to_login(request)
            except RequestValidationError:
                told = "The address has something that this page doesn't know."
                return _error_page(request, HTTPStatus.BAD_REQUEST, told)
            except TidemillError as error:
                status = status_of(error)
                if status is HTTPStatus.INTERNAL_SERVER_ERROR:
                    return problem_of(error)
                reply = _error_page(request, status, error.message)
                reply.headers.update(
                    {
                        name: value
                        for name, value in problem_of(error).headers.items()
                        if name == "retry-after"
                    }
                )
                return reply

        return handle_for_people


def _to_login(request: Request) -> Response:
    target = "/login"
    if request.method == "GET" and request.url.path != "/":
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        target += f"?next={quote(path, safe='/')}"
    reply = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    if token_of(request):
        drop(request, reply)
    return reply


def _error_page(request: Request, status: HTTPStatus, message: str) -> Response:
    return render(request, None, "error.html", status=status, message=message)

"""A batch's results: looked through by status, reason and name, and one beside what was asked."""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.access.auth import Viewer
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.query import WholeNumber
from api.services import ServicesDep
from jobs.errors import NotFound
from jobs.states import ResultStatus
from jobs.store.batches import batches
from jobs.store.results import failures, result_lists, results
from jobs.store.results.result_lists import SHOWN_CHARACTERS
from jobs.store.results.results import ResultOrder

router = APIRouter(route_class=PageRoute, include_in_schema=False)

LARGEST_SEQ = 2**31 - 1


@router.get("/batches/{batch_id}/results")
def results_page(  # noqa: PLR0913 - each is a part of the request
    request: Request,
    services: ServicesDep,
    visitor: Viewer,
    batch_id: str,
    status: ResultStatus | None = None,
    code: Annotated[str, Query(max_length=200)] = "",
    name: Annotated[str, Query(max_length=512)] = "",
    before: Annotated[WholeNumber | None, Query(ge=1, le=LARGEST_SEQ)] = None,
) -> Response:
    """Show a page of results, newest first, or the jobs whose name begins so."""
    sought = name.replace("\0", "")
    with services.database.read() as session:
        batch = batches.find(session, visitor.caller.project_id, batch_id)
        if sought:
            page = result_lists.named(session, batch, sought)
        else:
            of_status = ResultStatus.FAILED if code else status
            page = result_lists.newest(
                session, batch, status=of_status, code=code.replace("\0", "") or None, before=before
            )
        codes = list(failures.codes(session, batch)) if batch.failed else []
    return render(
        request,
        visitor,
        "results.html",
        batch=batch,
        page=page,
        status_sought=status.value if status else "",
        code=code,
        codes=codes,
        name=name,
        preview=preview,
        statuses=[each.value for each in ResultStatus],
        is_first=before is None,
    )


@router.get("/batches/{batch_id}/results/{seq}")
def result_page(
    request: Request, services: ServicesDep, visitor: Viewer, batch_id: str, seq: int
) -> Response:
    """Show a job: what was asked beside what was answered, and every call that it took."""
    if not 0 <= seq <= LARGEST_SEQ:
        raise NotFound("there is no such job")
    with services.database.read() as session:
        batch = batches.find(session, visitor.caller.project_id, batch_id)
        asked = result_lists.asked(session, batch, seq)
        if asked is None or batch.id is None:
            raise NotFound("there is no such job in this batch")
        found = results.page(session, batch.id, order=ResultOrder.INPUT, after=seq - 1, limit=1)
    result = found[0] if found and found[0].seq == seq else None
    return render(
        request,
        visitor,
        "result.html",
        batch=batch,
        seq=seq,
        asked=asked,
        request_text=readable(asked.request),
        result=result,
        output_text=None if result is None or result.output is None else readable(result.output),
    )


def preview(text: str | None) -> str:
    """Return the beginning of an output or of a message in one line; of a JSON string, what it says."""
    if text is None or not text.startswith('"'):
        return text or ""
    for whole in (text, f'{text}"', f'{text[: text.rfind(chr(92))]}"'):  # it may be cut off within
        try:
            return str(json.loads(whole))
        except ValueError:
            continue
    return text


def readable(text: str) -> str:
    """Return JSON as people read it: a text as it is, anything else with a line for each of its parts.

    What is cut off, or is no JSON, is shown as it stands.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text[:SHOWN_CHARACTERS]
    shown = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return shown[:SHOWN_CHARACTERS]

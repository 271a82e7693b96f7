"""Webhooks of a project: whom to tell what becomes of its batches."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from api.access.audit import note
from api.access.auth import AdminProject
from api.intake.bodies import StrictRoute
from api.services import ServicesDep
from jobs.store import webhooks
from jobs.tables import Webhook
from jobs.webhooks import check_url

router = APIRouter(tags=["webhooks"], route_class=StrictRoute)


class NewWebhook(BaseModel):
    """What is said of a webhook that is to be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str


class WebhookShape(BaseModel):
    """A webhook, as it is read. `trouble` is what became of its last try, null if it was delivered."""

    id: str
    url: str
    created_at: str
    gone_at: str | None
    trouble: str | None


class CreatedWebhook(WebhookShape):
    """A webhook that was just made, with its secret, which is not shown again."""

    secret: str


class WebhookList(BaseModel):
    """All webhooks of a project, oldest first."""

    data: list[WebhookShape]


@router.post("/webhooks", status_code=201)
def create(services: ServicesDep, project_id: AdminProject, wanted: NewWebhook) -> CreatedWebhook:
    """Tell an address of every state that the project's batches get from now on, and of their budgets.

    Messages are signed as Standard Webhooks says, with the secret that is in this answer and in no
    other.
    """
    check_url(wanted.url, to_private=services.settings.webhooks_to_private)
    with services.database.write() as session:
        webhook = webhooks.create(session, project_id, wanted.url)
        created = CreatedWebhook(secret=webhook.secret, **_told_of(webhook))
    note("webhook_created", project_id, webhook=created.id)
    return created


@router.get("/webhooks")
def list_webhooks(services: ServicesDep, project_id: AdminProject) -> WebhookList:
    """List the project's webhooks, without their secrets."""
    with services.database.read() as session:
        found = webhooks.of_project(session, project_id)
    return WebhookList(data=[WebhookShape(**_told_of(webhook)) for webhook in found])


@router.delete("/webhooks/{webhook_id}", status_code=204)
def remove(services: ServicesDep, project_id: AdminProject, webhook_id: str) -> Response:
    """Delete a webhook; it is told nothing more, also of what has happened."""
    with services.database.write() as session:
        webhooks.remove(session, project_id, webhook_id)
    note("webhook_deleted", project_id, webhook=webhook_id)
    return Response(status_code=204)


def _told_of(webhook: Webhook) -> dict[str, str | None]:
    return {
        "id": webhook.ref,
        "url": webhook.url,
        "created_at": webhook.created_at.isoformat(),
        "gone_at": None if webhook.gone_at is None else webhook.gone_at.isoformat(),
        "trouble": webhook.trouble,
    }

"""`tidemill webhooks`: who is told what becomes of the project's batches."""

from typing import Annotated

import typer

from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.render import print_json, stdout

webhooks = typer.Typer(no_args_is_help=True, help="Who is told what becomes of the batches.")


@webhooks.command("create")
def create(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Whom to tell: https://…")],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Tell an address of every batch from now on, and print the secret that signs it, once."""
    with connect(url, key) as client:
        made = client.create_webhook(address)
    if as_json:
        print_json(made)
        return
    stdout().print(f"Webhook {made['id']} tells {made['url']}", markup=False, soft_wrap=True)
    stdout().print(f"Its secret, shown only now: {made['secret']}", markup=False, soft_wrap=True)


@webhooks.command("list")
def list_(url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False) -> None:
    """List the webhooks, and what the last try of each met."""
    with connect(url, key) as client:
        found = client.webhooks()
    if as_json:
        print_json(found)
        return
    for webhook in found["data"]:
        state = "gone" if webhook["gone_at"] else webhook["trouble"] or "in order"
        line = f"{webhook['id']}  {webhook['url']}  {state}"
        stdout().print(line, markup=False, soft_wrap=True)
    if not found["data"]:
        stdout().print("There is no webhook.")


@webhooks.command("delete")
def delete(
    webhook_id: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Delete a webhook; it is told nothing more."""
    with connect(url, key) as client:
        client.delete_webhook(webhook_id)
    if as_json:
        print_json({"id": webhook_id, "deleted": True})
    else:
        stdout().print(f"Webhook {webhook_id} is deleted.", markup=False)

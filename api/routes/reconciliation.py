"""The proof that nothing of a batch is missing, by our own rows and beside its provider's account."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.access.audit import note
from api.access.auth import ReaderProject, require_scope
from api.intake.encodings import check_encoding, unpacked
from api.services import COUNTING_S, Services, ServicesDep
from jobs.money import format_usd
from jobs.reconcile import ProviderAccount, require_provider
from jobs.scopes import Scope
from jobs.store.batches import batches
from jobs.store.proof.attempt_groups import Charged
from jobs.store.proof.balance import Balance, balance
from jobs.verdict import Verdict

router = APIRouter(tags=["reconciliation"])

BLOCK_BYTES = 1 << 20
"""Bytes of an account that are read at once, so that memory is flat however long it is."""


class JobCounts(BaseModel):
    """Accepted jobs; `waiting` have no result yet, `lost` have none and nobody will run them.

    No job can have two: the database's own key forbids it.
    """

    accepted: int
    finished: int
    waiting: int
    lost: int


class ChargedShape(BaseModel):
    """So many attempts or calls, and their cost."""

    attempts: int
    cost_usd: str


class Money(BaseModel):
    """The batch's money by its attempts and its total, the project's by its batches and its ledger.

    The drifts are the differences: zero. So is what is reserved, once the batch has ended. The ledger's
    and the caps' days are compared with all attempts of the project, unless it has too many.
    """

    attempts_usd: str
    batch_usd: str
    batch_drift_usd: str
    project_batches_usd: str
    project_ledger_usd: str
    ledger_drift_usd: str
    reserved_usd: str
    unpriced_attempts: int
    ledger_days_compared: bool


class NativeShape(BaseModel):
    """Native batches that were made of the batch, and lines of their results that nobody had asked for."""

    batches: int
    unexpected_lines: int


class ViolationShape(BaseModel):
    """Something that must never be."""

    code: str
    message: str


class FindingShape(BaseModel):
    """An attempt or a call that the two accounts don't agree on."""

    code: str
    custom_id: str
    attempt: int | None
    message: str


class AccountShape(BaseModel):
    """What comparing with the provider's account has shown; see `jobs.verdict.Verdict`."""

    lines: int
    unbilled: int
    foreign: ChargedShape
    provider: ChargedShape
    agreed: int
    drifted: int
    drift_usd: str
    learned: ChargedShape
    learned_usd: str
    unseen: ChargedShape
    in_flight: int
    overcharged: ChargedShape
    unrecorded: ChargedShape
    corrected: int
    agrees: bool
    findings: list[FindingShape]


class Reconciliation(BaseModel):
    """Everything of a batch, counted and added up. `balances`: nothing contradicts anything."""

    batch: str
    state: str
    balances: bool
    jobs: JobCounts
    attempts: dict[str, int]
    unknown: ChargedShape
    wasted: ChargedShape
    bad: ChargedShape
    native: NativeShape
    money: Money
    violations: list[ViolationShape]
    account: AccountShape | None


class AccountQuery(BaseModel):
    """What is said about an account as a whole."""

    model_config = ConfigDict(extra="forbid")

    provider: Annotated[
        str | None, Field(max_length=200, description="whose it is, if the batch used several")
    ] = None
    complete: Annotated[bool, Field(description="a call that it doesn't have has cost nothing")] = (
        False
    )
    apply: Annotated[bool, Field(description="correct the attempts of unknown use")] = False


@router.get("/batches/{batch_id}/reconciliation")
def get_reconciliation(
    services: ServicesDep, project_id: ReaderProject, batch_id: str
) -> Reconciliation:
    """Count and add up everything of a batch; nobody waits for it."""
    return _reconciliation(services, project_id, batch_id, None)


@router.post("/batches/{batch_id}/reconciliation")
async def reconcile(
    request: Request,
    services: ServicesDep,
    project_id: ReaderProject,
    batch_id: str,
    query: Annotated[AccountQuery, Query()],
) -> Reconciliation:
    """Compare a batch with its provider's own account: NDJSON, one call that it billed a line.

    `{"custom_id" or "job_id", "model", "input_tokens", "output_tokens", "cached_tokens",
    "cache_write_tokens", "reasoning_tokens", "cost_nanos" or "cost_usd", "answered"}`; the tokens
    in and out are needed, and what else a line has is not read. With `apply`, attempts of unknown
    use are charged what the provider took; doing it twice changes nothing, and the key needs the
    scope `admin` for it. The body may be packed with gzip or zstd, as Content-Encoding says.
    """
    if query.apply:
        await require_scope(request, services, Scope.ADMIN)

    def open_account() -> ProviderAccount:
        database = services.database.with_patience(COUNTING_S)
        with database.read() as session:
            batch = batches.find(session, project_id, batch_id)
            assert batch.id is not None  # a stored row has its key
            require_provider(session, batch.id, query.provider, services.configuration.providers)
        return ProviderAccount(database, batch, services.settings.home)

    with await run_in_threadpool(open_account) as account:
        block = bytearray()
        encoding = check_encoding(request.headers.get("content-encoding", ""))
        max_bytes = services.settings.max_upload_bytes
        async for data in unpacked(request.stream(), encoding, max_bytes):
            block += data
            if len(block) >= BLOCK_BYTES:
                await run_in_threadpool(account.take, bytes(block))
                block.clear()

        def close() -> Verdict:
            account.take(bytes(block))
            return account.close(
                provider=query.provider, is_complete=query.complete, is_applied=query.apply
            )

        verdict = await run_in_threadpool(close)
    if query.apply:
        note("account_applied", project_id, batch=batch_id, corrected=verdict.corrected)
    return await run_in_threadpool(_reconciliation, services, project_id, batch_id, verdict)


def _reconciliation(
    services: Services, project_id: int, ref: str, verdict: Verdict | None
) -> Reconciliation:
    with services.database.with_patience(COUNTING_S).snapshot() as session:
        found = balance(session, batches.find(session, project_id, ref))
    account = None if verdict is None else _account(verdict)
    return Reconciliation(
        batch=ref,
        state=found.state,
        balances=not found.violations and (verdict is None or verdict.agrees),
        jobs=JobCounts(
            accepted=found.accepted,
            finished=found.finished,
            waiting=found.waiting,
            lost=found.lost,
        ),
        attempts=found.attempts,
        unknown=_charged(found.unknown),
        wasted=_charged(found.wasted),
        bad=_charged(found.bad),
        native=NativeShape(batches=found.native_batches, unexpected_lines=found.unexpected_lines),
        money=_money(found),
        violations=[ViolationShape(code=v.code, message=v.message) for v in found.violations],
        account=account,
    )


def _money(found: Balance) -> Money:
    return Money(
        attempts_usd=format_usd(found.attempts_nanos),
        batch_usd=format_usd(found.batch_nanos),
        batch_drift_usd=format_usd(found.batch_nanos - found.attempts_nanos),
        project_batches_usd=format_usd(found.batches_nanos),
        project_ledger_usd=format_usd(found.ledger_nanos),
        ledger_drift_usd=format_usd(found.ledger_nanos - found.batches_nanos),
        reserved_usd=format_usd(found.reserved_nanos),
        unpriced_attempts=found.unpriced,
        ledger_days_compared=found.is_ledger_read,
    )


def _account(verdict: Verdict) -> AccountShape:
    return AccountShape(
        lines=verdict.lines,
        unbilled=verdict.unbilled,
        foreign=_charged(verdict.foreign),
        provider=_charged(verdict.provider),
        agreed=verdict.agreed,
        drifted=verdict.drifted,
        drift_usd=format_usd(verdict.drift_nanos),
        learned=_charged(verdict.learned),
        learned_usd=format_usd(verdict.learned_nanos),
        unseen=_charged(verdict.unseen),
        in_flight=verdict.in_flight,
        overcharged=_charged(verdict.overcharged),
        unrecorded=_charged(verdict.unrecorded),
        corrected=verdict.corrected,
        agrees=verdict.agrees,
        findings=[
            FindingShape(code=f.code, custom_id=f.custom_id, attempt=f.n, message=f.message)
            for f in verdict.findings
        ],
    )


def _charged(some: Charged) -> ChargedShape:
    return ChargedShape(attempts=some.attempts, cost_usd=format_usd(some.cost_nanos))

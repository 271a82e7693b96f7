"""Statements that damage the books of `test_damaged_books.py`, and what the proof must call each.

The finished batch has the id 1, another finished one 2, the one at work 3.
"""

from jobs.exchange import Usage


def of(table: str, change: str, where: str = "seq = 0") -> str:
    return f"UPDATE {table} SET {change} WHERE batch_id = 1 AND {where}"  # noqa: S608  (a test's own words)


def batch(change: str) -> str:
    return f"UPDATE batch SET {change} WHERE id = 1"  # noqa: S608  (a test's own words)


def ledger(change: str, where: str = "outcome = 'succeeded' AND model = 'sim-small'") -> str:
    return f"UPDATE ledger_day SET {change} WHERE {where}"  # noqa: S608  (a test's own words)


TOKENS = Usage.__struct_fields__
SUMS = ("attempts", "unpriced_attempts", *TOKENS, "cost_nanos")

REUSES = batch('defaults = \'{"reuse":"1d"}\', reused_jobs = 1')
RETRIES = batch("retry_of = 'bat_x', reused_jobs = 1")


def kept(seq: int = 0, batch_id: int = 2) -> str:
    """Make a result one that was kept from another batch, which has such a one."""
    origin = f"origin_batch_id = {batch_id}, origin_seq = {seq}"
    return of("result", f"source = 'cache', attempt = NULL, {origin}")


MOVED_AWAY = (
    "INSERT INTO project VALUES (7, 'another', '2026-01-01')",
    "UPDATE batch SET project_id = 7 WHERE id = 2",
)

DAMAGES: list[tuple[str, tuple[str, ...]]] = [
    # The batch's totals.
    ("missing_jobs", (batch("total_jobs = total_jobs + 1"),)),
    ("stray_jobs", (batch("total_jobs = total_jobs - 1"),)),
    ("miscounted_slices", (batch("total_slices = total_slices + 1"),)),
    ("misnumbered_slices", (batch("total_slices = total_slices - 1"),)),
    ("miscounted_done_slices", (batch("done_slices = done_slices - 1"),)),
    ("miscounted_succeeded", (batch("succeeded = succeeded + 1"),)),
    ("miscounted_failed", (batch("failed = failed - 1"),)),
    ("miscounted_failed", (batch("failed = failed - 1, succeeded = succeeded + 1"),)),
    ("miscounted_cancelled", (batch("cancelled = cancelled + 1, failed = failed - 1"),)),
    ("miscounted_expired", (batch("expired = -1, failed = failed + 1"),)),
    ("miscounted_in_flight", (batch("in_flight = 1"),)),
    ("miscounted_unpriced", (batch("unpriced_jobs = 0"),)),
    ("miscounted_bad", (batch("bad_answers = 0"),)),
    ("drift_bad", (batch("bad_nanos = bad_nanos - 1"),)),
    ("miscounted_bad", (of("attempt", "error_code = NULL", "seq = 3 AND n = 2"),)),
    ("unbacked_results", (of("attempt", "error_code = 'refused'"),)),
    ("miscounted_unknown", (batch("unknown_attempts = unknown_attempts - 1"),)),
    *((f"drift_{name}", (batch(f"{name} = {name} + 1"),)) for name in TOKENS),
    ("drift_batch", (batch("spent_nanos = spent_nanos + 1"),)),
    ("drift_ledger", (batch("spent_nanos = spent_nanos - 1"),)),
    ("drift_cache_saved", (batch("cache_saved_nanos = cache_saved_nanos + 1"),)),
    ("drift_ledger_cache_saved", (batch("cache_saved_nanos = cache_saved_nanos - 1"),)),
    ("drift_ledger_cache_saved", (ledger("cache_saved_nanos = cache_saved_nanos + 1"),)),
    ("drift_cache_saved", (of("attempt", "price = '[[0,1000000,500000,1000000,2000000]]'", "seq = 8"),)),
    ("drift_cache_saved", (batch("cache_saved_nanos = 9223372036854775807"),)),
    ("drift_lane_saved", (batch("lane_saved_nanos = lane_saved_nanos + 1"),)),
    ("stray_lines", (of("attempt", "native_id = 99"),)),
    ("orphaned_slices", (of("slice", "state = 'draining', owner = 'native:nat_x'", "no = 2"),)),
    ("open_native_batches", (
        "INSERT INTO native_batch (id, ref, batch_id, provider, pool, model, endpoint, state, claim, jobs, "
        "estimated_tokens, size_bytes, answered, unexpected, created_at, tries) VALUES (1, 'nat_x', 1, "
        "'sim', 'main', 'sim-small', '/chat/completions', 'packing', 0, 1, 1, 1, 0, 0, '2026-01-01', 0)",
    )),
    ("drift_reserved", (batch("reserved_nanos = 1"),)),
    ("reserved", (batch("reserved_nanos = 1"),)),
    ("wrong_state", (batch("state = 'failed'"),)),
    ("wrong_state", (batch("state = 'running', finished_at = NULL"),)),
    ("wrong_state", (
        batch("cancelled = 1, succeeded = succeeded - 1"),
        of("result", "status = 'cancelled'"),
    )),
    # Jobs.
    ("missing_jobs", ("DELETE FROM job WHERE batch_id = 1 AND seq = 3",)),
    ("stray_jobs", (of("job", "seq = 99"),)),
    ("missing_jobs", (of("job", "seq = 99"),)),
    ("stray_jobs", (of("job", "seq = -1"),)),
    ("misfitting_slices", (of("job", "queue = 'another'"),)),
    # Slices.
    ("miscounted_slices", ("DELETE FROM slice WHERE batch_id = 1 AND no = 1",)),
    ("miscounted_slice_jobs", ("DELETE FROM slice WHERE batch_id = 1 AND no = 1",)),
    ("miscounted_slice_jobs", (of("slice", "jobs = 3", "no = 1"),)),
    ("misfitting_slices", (of("slice", "jobs = jobs + (CASE no WHEN 1 THEN 1 ELSE -1 END)", "no > 0"),)),
    ("misfitting_slices", (of("slice", "last_seq = 6", "no = 1"),)),
    ("misfitting_slices", (of("slice", "first_seq = 5", "no = 1"),)),
    ("misfitting_slices", (of("slice", "queue = 'another'", "no = 1"),)),
    ("overlapping_slices", (of("slice", "first_seq = 3", "no = 1"),)),
    ("overlapping_slices", (of("slice", "last_seq = 8", "no = 1"),)),
    ("misnumbered_slices", (of("slice", "no = 7", "no = 1"),)),
    ("open_slices", (of("slice", "state = 'waiting'", "no = 2"),)),
    ("miscounted_done_slices", (of("slice", "state = 'fed'", "no = 2"),)),
    # Results.
    ("lost_jobs", ("DELETE FROM result WHERE batch_id = 1 AND seq = 0",)),
    ("miscounted_succeeded", ("DELETE FROM result WHERE batch_id = 1 AND seq = 0",)),
    ("misplaced_results", ("DELETE FROM result WHERE batch_id = 1 AND seq = 0",)),
    ("lost_jobs", (
        "DELETE FROM result WHERE batch_id = 1 AND seq = 11",
        batch("succeeded = succeeded - 1"),
    )),
    ("stray_results", (of("result", "seq = 12"),)),
    ("stray_results", (of("result", "seq = -1"),)),
    ("misplaced_results", (of("result", "position = 99"),)),
    ("misplaced_results", (of("result", "position = 0"),)),
    ("miscounted_failed", (of("result", "status = 'failed', error_code = 'x'"),)),
    ("misshapen_results", (of("result", "status = 'failed'"),)),
    ("misshapen_results", (of("result", "output = NULL"),)),
    ("misshapen_results", (of("result", "finish_reason = NULL"),)),
    ("misshapen_results", (of("result", "error_code = 'x'"),)),
    ("misshapen_results", (of("result", "error_code = NULL", "seq = 4"),)),
    ("misshapen_results", (of("result", "source = 'cache'"),)),
    ("unlike_twins", (of("result", "source = 'duplicate', attempt = NULL"),)),
    ("miscounted_reused", (batch("reused_jobs = 1"),)),
    ("miscounted_reused", (kept(),)),
    ("unasked_kept", (kept(), batch("reused_jobs = 1"))),
    ("unlike_kept", (REUSES, kept(seq=99))),
    ("unlike_kept", (RETRIES, kept(batch_id=99))),
    ("unlike_kept", (REUSES, kept(), of("result", "output = '\"another\"'"))),
    ("unlike_kept", (RETRIES, kept(), *MOVED_AWAY)),
    ("misshapen_results", (REUSES, kept(), of("result", "attempt = 1"))),
    ("misshapen_results", (REUSES, kept(), of("result", "origin_seq = NULL"))),
    ("misshapen_results", (of("result", "origin_batch_id = 2, origin_seq = 0"),)),
    ("dangling_results", (of("result", "attempt = 9"),)),
    ("dangling_results", (of("result", "attempt = 0"),)),
    ("unbacked_results", (of("result", "attempt = NULL"),)),
    ("unbacked_results", (of("result", "attempt = 1", "seq = 3"),)),
    ("attempts_after_result", (of("result", "attempt = 1", "seq = 1"),)),
    ("unbacked_results", (of("result", "status = 'succeeded', attempt = 1", "seq = 5"),)),
    # Attempts.
    ("dangling_results", ("DELETE FROM attempt WHERE batch_id = 1 AND seq = 0",)),
    ("drift_batch", ("DELETE FROM attempt WHERE batch_id = 1 AND seq = 0",)),
    ("drift_ledger_day", ("DELETE FROM attempt WHERE batch_id = 1 AND seq = 3 AND n = 1",)),
    ("skipped_attempts", ("DELETE FROM attempt WHERE batch_id = 1 AND seq = 3 AND n = 1",)),
    ("skipped_attempts", (of("attempt", "n = 5", "seq = 3 AND n = 2"),)),
    ("misnumbered_attempts", (of("attempt", "n = 0"),)),
    ("stray_attempts", (of("attempt", "seq = 12"),)),
    ("stray_attempts", (of("attempt", "seq = -1"),)),
    ("drift_batch", (of("attempt", "batch_id = 2, n = 5"),)),
    ("open_attempts", (of("attempt", "outcome = NULL"),)),
    ("miscounted_in_flight", (of("attempt", "outcome = NULL"),)),
    ("misshapen_attempts", (of("attempt", "outcome = NULL"),)),
    ("unbacked_results", (of("attempt", "outcome = 'limited'"),)),
    ("misshapen_attempts", (of("attempt", "outcome = 'failed'"),)),
    ("misshapen_attempts", (of("attempt", "outcome = 'rejected'", "seq = 1 AND n = 1"),)),
    ("drift_ledger_day", (of("attempt", "outcome = 'unsent'", "seq = 3 AND n = 1"),)),
    ("miscosted_attempts", (of("attempt", "outcome = 'unknown'", "seq = 5"),)),
    ("miscounted_unknown", (of("attempt", "outcome = 'unknown'", "seq = 5"),)),
    *(("drift_ledger_day", (of("attempt", f"{name} = 'x'"),)) for name in ("provider", "pool", "model")),
    ("miscosted_attempts", (of("attempt", "cost_nanos = cost_nanos + 1"),)),
    ("miscosted_attempts", (of("attempt", "cost_nanos = NULL"),)),
    ("miscosted_attempts", (
        of("attempt", "cost_nanos = cost_nanos + 1"),
        of("attempt", "cost_nanos = cost_nanos - 1", "seq = 9"),
    )),
    ("miscosted_attempts", (of("attempt", "cost_nanos = 1", "seq = 2"),)),
    ("miscosted_attempts", (of("attempt", "cost_nanos = 1", "seq = 5"),)),
    ("miscosted_attempts", (of("attempt", "cost_nanos = 1", "seq = 7"),)),
    ("miscosted_attempts", (of("attempt", "cost_nanos = NULL", "seq = 1 AND n = 1"),)),
    ("drift_batch", (of("attempt", "cost_nanos = 53", "seq = 1 AND n = 1"),)),
    ("miscosted_attempts", (of("attempt", "price = '[[0,9000000,1,1,1]]'"),)),
    ("miscosted_attempts", (of("attempt", "price = 'x'"),)),
    ("miscosted_attempts", (of("attempt", "price = NULL, reserved_nanos = 0"),)),
    ("misshapen_attempts", (of("attempt", "price = NULL"),)),
    ("misshapen_attempts", (of("attempt", "reconciled_at = sent_at", "seq = 3 AND n = 1"),)),
    ("miscosted_attempts", (
        of("attempt", "input_tokens = input_tokens + 1"),
        of("attempt", "input_tokens = input_tokens - 1", "seq = 9"),
    )),
    ("miscosted_attempts", (of("attempt", "input_tokens = 9000000000000000000"),)),
    *((f"drift_{name}", (of("attempt", f"{name} = {name} + 1"),)) for name in TOKENS),
    *(("drift_ledger_day", (of("attempt", f"{name} = {name} + 1"),)) for name in TOKENS),
    *(("misshapen_attempts", (of("attempt", f"{name} = NULL"),)) for name in TOKENS),
    *(
        ("negative_attempts", (of("attempt", f"{name} = -1"),))
        for name in (*TOKENS, "cost_nanos", "reserved_nanos", "latency_ms")
    ),
    ("miscosted_attempts", (of("attempt", "reserved_nanos = 1", "seq = 4 AND n = 2"),)),
    # Figures that together leave 64 bits.
    *(
        ("misshapen_attempts", (of("attempt", f"{name} = 9223372036854775807", "n > 0"),))
        for name in TOKENS
    ),
    ("miscosted_attempts", (of("attempt", "cost_nanos = 9223372036854775807", "n > 0"),)),
    ("drift_ledger", (ledger("cost_nanos = 9223372036854775807", "attempts > 0"),)),
    ("drift_ledger", ("UPDATE batch SET spent_nanos = 9223372036854775807 WHERE id < 3",)),
    ("drift_batch", (batch("spent_nanos = 9223372036854775807"),)),
    ("missing_jobs", (batch("total_jobs = 9223372036854775807"),)),
    ("miscounted_slices", (batch("total_slices = 9223372036854775807"),)),
    # The project's ledger.
    *(("drift_ledger_day", (ledger(f"{name} = {name} + 1"),)) for name in SUMS),
    *(("negative_ledger", (ledger(f"{name} = -1"),)) for name in SUMS),
    ("drift_ledger", (ledger("cost_nanos = cost_nanos - 1"),)),
    ("drift_ledger_day", (
        ledger("cost_nanos = cost_nanos - 1"),
        ledger("cost_nanos = cost_nanos + 1", "outcome = 'unknown'"),
    )),
    ("drift_ledger_day", (ledger("model = 'x'"),)),
    ("drift_ledger_day", (ledger("pool = 'x'"),)),
    ("drift_ledger_day", (ledger("provider = 'x'"),)),
    ("drift_ledger_day", (ledger("outcome = 'unsent'"),)),
    ("drift_ledger_day", (ledger("project_id = 7"),)),
    ("drift_ledger_day", ("DELETE FROM ledger_day WHERE outcome = 'limited'",)),
    ("booked_before_sent", (ledger("day = '2020-01-01'"),)),
    ("drift_ledger_day", (
        "UPDATE attempt SET output_tokens = output_tokens + 1 WHERE batch_id = 2 AND seq = 0 AND n = 2",
    )),
    ("drift_ledger", ("UPDATE batch SET spent_nanos = spent_nanos + 1 WHERE id = 2",)),
    # The account of the project's caps.
    ("drift_spend_day", ("UPDATE spend_day SET spent_nanos = spent_nanos + 1",)),
    ("drift_spend_day", ("UPDATE spend_day SET spent_nanos = spent_nanos - 1",)),
    ("drift_spend_day", ("UPDATE spend_day SET spent_nanos = -1",)),
    ("drift_spend_day", ("DELETE FROM spend_day",)),
    ("drift_spend_day", ("INSERT INTO spend_day VALUES (1, '2020-01-01', 5, 0)",)),
    ("drift_spend_reserved", ("UPDATE spend_day SET reserved_nanos = reserved_nanos + 1",)),
    ("drift_spend_reserved", ("UPDATE spend_day SET reserved_nanos = 0",)),
    ("stray_spend_days", ("DELETE FROM project_budget",)),
]  # fmt: skip

RUNNING_DAMAGES = [
    ("lost_jobs", "DELETE FROM result WHERE batch_id = 3 AND seq = 1"),
    ("miscounted_succeeded", "DELETE FROM result WHERE batch_id = 3 AND seq = 1"),
    ("lost_jobs", "UPDATE slice SET state = 'done', owner = NULL WHERE batch_id = 3 AND no = 1"),
    ("wrong_state", "UPDATE slice SET state = 'done', owner = NULL WHERE batch_id = 3 AND no = 1"),
    ("drift_reserved", "UPDATE attempt SET reserved_nanos = 1 WHERE batch_id = 3 AND seq = 3"),
    ("drift_spend_reserved", "UPDATE attempt SET reserved_nanos = 1 WHERE batch_id = 3 AND seq = 3"),
    ("misshapen_attempts", "UPDATE attempt SET latency_ms = 1 WHERE batch_id = 3 AND seq = 3"),
    ("misshapen_attempts", "UPDATE attempt SET error_code = 'x' WHERE batch_id = 3 AND seq = 3"),
    ("misshapen_attempts", "UPDATE attempt SET cost_nanos = 1 WHERE batch_id = 3 AND seq = 3"),
    ("miscounted_in_flight", "DELETE FROM attempt WHERE batch_id = 3 AND seq = 3"),
]  # fmt: skip

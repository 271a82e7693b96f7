-- The rows of a large batch that has ended after a night, for both databases. Words in braces are put in by
-- pages.py. Every twenty-fifth job has failed, for one of four reasons.

INSERT INTO job (batch_id, seq, custom_id, kind, queue, request, estimated_tokens, fingerprint)
{numbers}
SELECT {batch}, i, 'job-' || i, 'generation', 'sim',
    '{"custom_id":"job-' || i || '","prompt":"Describe lamp ' || i || ' in two sentences."}',
    20, CAST('0123456789abcdef' AS {blob})
FROM n;

INSERT INTO result (batch_id, seq, position, status, output, finish_reason, error_code, error_message,
    attempt, source, finished_at)
{numbers}
SELECT {batch}, i, i + 1,
    CASE WHEN i % 25 = 0 THEN 'failed' ELSE 'succeeded' END,
    CASE WHEN i % 25 = 0 THEN NULL ELSE '"A lamp of brass, number ' || i || '."' END,
    CASE WHEN i % 25 = 0 THEN NULL ELSE 'stop' END,
    CASE WHEN i % 25 <> 0 THEN NULL WHEN i % 100 = 0 THEN 'timeout' WHEN i % 100 = 25 THEN 'content_refused'
        WHEN i % 100 = 50 THEN 'overloaded' ELSE 'schema_violation' END,
    CASE WHEN i % 25 = 0 THEN 'it did not work' ELSE NULL END,
    1, 'live', {moment}
FROM n;

INSERT INTO attempt (batch_id, seq, n, provider, pool, model, reserved_nanos, sent_at, outcome, input_tokens,
    cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanos, latency_ms)
{numbers}
SELECT {batch}, i, 1, 'sim', 'main', CASE WHEN i % 5 = 0 THEN 'sim-large' ELSE 'sim-small' END, 1000,
    {moment}, 'succeeded', 20 + i % 30, 0, 0, 40 + i % 100, 0, 30000 + i % 1000, 300 + i % 2503
FROM n;

INSERT INTO ledger_day (day, project_id, provider, pool, model, outcome, attempts, unpriced_attempts,
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanos,
    cache_saved_nanos)
WITH RECURSIVE d(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM d WHERE k + 1 < 366),
    m(j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM m WHERE j + 1 < 12)
SELECT {day}, 1, 'sim', 'main', 'model-' || j, 'succeeded', 1000 + k * j, 0, 100000, 0, 0, 50000, 0,
    5000000 * (j + 1), 0
FROM d, m;

UPDATE batch SET state = 'completed', finished_at = created_at, started_at = created_at,
    succeeded = total_jobs - CASE WHEN id = {batch} THEN total_jobs / 25 ELSE 0 END,
    failed = CASE WHEN id = {batch} THEN total_jobs / 25 ELSE 0 END,
    spent_nanos = 30500 * total_jobs, input_tokens = 34 * total_jobs, output_tokens = 89 * total_jobs
WHERE project_id = 1

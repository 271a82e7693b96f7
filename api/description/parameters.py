"""What the parameters of requests mean, with units, where a route doesn't say it itself."""

from collections.abc import Mapping

PARAMETERS: Mapping[str, str] = {
    "batch_id": "the batch's id, as `bat_…` (under `/v1`: `batch_…`)",
    "run_id": "the run's id, as `run_…`",
    "pipeline": "the pipeline's name",
    "webhook_id": "the webhook's id, as it was told when it was made",
    "file_id": "the file's id, as `file-…`",
    "model": "a model or route of the configuration; of a submission, the default of its lines",
    "limit": "how many there are at most in the answer",
    "cursor": "`next_cursor` of an earlier answer: go on after it",
    "after": "the id of the last one seen: go on after it",
    "after_id": "the id of one that was seen: go on after it, to older ones",
    "before_id": "the id of one that was seen: those before it, newer ones",
    "order": "by the time they were made: `asc` or `desc`",
    "purpose": "only files of this purpose",
    "name": "what the batch is called in lists",
    "priority": "share of a busy queue",
    "lane": "`live`, or at half the price through the providers' batch APIs: `batch` where they can, "
    "`auto` where it is cheaper and there is time",
    "deadline": "by when it is wanted: `2026-12-01T06:00:00+01:00`, or the next `06:00 Europe/Paris`",
    "after_deadline": "what becomes of open jobs then: `finish` runs them late, `expire` ends them",
    "run_window": "hours in which it may run: `22:00-06:00 Europe/Paris`; outside of them it waits",
    "max_cost_usd": "budget in dollars as a decimal text; it is never exceeded",
    "kind": "default kind of lines: `generation`, `translation`, `extraction` or `chat`",
    "system": "default system prompt",
    "max_tokens": "default limit of an answer, in tokens",
    "temperature": "default temperature, 0 to 2",
    "top_p": "default share of the likeliest tokens, 0 to 1",
    "stop": "default text that ends an answer",
    "seed": "default seed; not every provider has one",
    "format": "of translations: `plain`, `markdown`, `html`, `json` or `subtitles`",
    "tone": "of translations: `formal` or `informal`",
    "part_tokens": "into parts of how many tokens a long text is cut",
    "failover_after_s": "seconds that a job waits for a target before its route's next one",
    "repair": "`true`: answers that were put right here are taken",
    "ask_again": "how often each target is asked again after a bad answer, 0 to 5",
    "raise_max_tokens": "tokens that a cut-off answer may get at most; default: twice its line's",
    "keep_truncated": "`true`: a text that was cut off at its `max_tokens` is an answer",
    "escalate": "`true`: after bad answers a route's next target is asked",
    "collapse": "`auto`, `always` or `never`: whether jobs that ask for the same get one answer",
    "template": "what `variables` of lines are put into, as `Translate {{ text }}.`",
    "n": "samples of each answer; the output is a list then",
    "instructions": "of extractions: what to look for, in words",
    "evidence": "`true`: of extractions, with a quote of the text for each value",
    "merge_key": "of extractions: the property that tells items of lists apart",
}
"""By name; one that is here and nowhere used is found by the tests."""

IF_NONE_MATCH = {
    "name": "if-none-match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "the `etag` of an earlier answer: 304 without a body while it would be the same",
}

"""What helps, by the code of an error: the words of `docs/errors.md`, for who meets it in a program."""

from collections.abc import Mapping

FIXES: Mapping[str, str] = {
    "empty_body": "send at least one line",
    "invalid_encoding": "save it as UTF-8",
    "wrong_format": "send the content-type that the body has",
    "deadline_unreachable": "what `detail` names: a later deadline, fewer jobs or a higher limit; or "
    "`accept_late=true`",
    "budget_too_small": "give what `detail` names, or lower `max_tokens`",
    "invalid_cursor": "begin again without one",
    "upload_broke_off": "send it again",
    "insufficient_scope": "use a key that has the scope",
    "illegal_transition": "look at the batch",
    "request_in_progress": "ask again after `Retry-After`",
    "body_too_large": "send several batches",
    "line_too_long": "a job holds text, no files",
    "too_many_jobs": "send several batches",
    "uri_too_long": "say it on the lines instead",
    "idempotency_key_reused": "use a new key",
    "too_many_guesses": "wait for `Retry-After`",
    "internal_error": "its log says why",
    "service_unavailable": "ask again after `Retry-After`; a change that was asked for may have been made",
    "storage_full": "make room; nothing was half accepted",
    "nul_character": "leave it out: not every database can store one",
    "invalid_number": "JSON has neither",
    "duplicate_key": "readers differ in which one counts",
    "secret_in_payload": "keys belong in the configuration; revoke it",
    "too_many_parts": "raise `part_tokens`",
    "unpriced_model": "add one to the configuration",
    "unauthorised": "send `Authorization: Bearer KEY`",
}

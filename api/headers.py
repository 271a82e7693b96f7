"""What is said in the headers of every answer, those of our own faults included."""

TOLD = {
    # Nothing of ours is a page that runs or loads anything; one that does says so itself.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # Prompts, answers and money: in no cache on the way.
    "cache-control": "no-store",
}
"""Headers of every answer that does not have its own."""

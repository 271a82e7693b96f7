"""Files whose time is over, and bytes that belong to no file: what dead uploads have left."""

import logging

from api.services import Services
from jobs.states import FileContent
from jobs.store.surfaces import files

log = logging.getLogger(__name__)

PER_ROUND = 500

ABANDONED_S = 3600.0
"""Bytes without a row that nobody has written for so long are nobody's; an upload in progress writes."""


def tidy(services: Services) -> None:
    """Delete files whose time is over, and what was never made a file. Harmless to do twice, or by two."""
    with services.database.write() as session:
        over = files.expired(session, limit=PER_ROUND)
        files.forget(session, [file.ref for file in over])
    for file in over:
        if file.content == FileContent.UPLOAD:
            services.files.delete(file.ref)
    old = list(services.files.older_than(ABANDONED_S))
    for start in range(0, len(old), PER_ROUND):
        names = old[start : start + PER_ROUND]
        with services.database.read() as session:
            known = files.known(session, names)
        for name in set(names) - known:
            log.warning("deleting bytes that belong to no file: %s", name)
            services.files.delete(name)

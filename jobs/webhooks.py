"""What a webhook is: where it may lead, what its messages say, how they are signed and tried again.

Signed by Standard Webhooks (standardwebhooks.com, read 2026-11-27): any of its libraries verifies them.
"""

import base64
import hashlib
import hmac
import ipaddress
import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from jobs.errors import InvalidParameter

SECRET_PREFIX = "whsec_"  # noqa: S105 - begins secrets, and is none
SECRET_BYTES = 32

MOST_PER_PROJECT = 20

LONGEST_URL = 2000

THRESHOLDS = (50, 80, 100)
"""Percent of a batch's budget of which is told."""

RETRY_AFTER = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=14),
)
"""Between tries: for about a day, so that a night's outage of the receiver loses nothing."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Addresses in which one of IPv4 is hidden (RFC 6052)."""


def new_secret() -> str:
    """Return a secret of 256 random bits."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, message_id: str, sent_at_s: int, body: str) -> str:
    """Return what the header `webhook-signature` says of a message."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{sent_at_s}.{body}".encode()
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def check_url(url: str, *, to_private: bool) -> None:
    """Return if a webhook may lead there, as far as its address tells: names are looked at when it is told.

    Raises:
        InvalidParameter: it may not; the message says why.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise InvalidParameter("url: expected an address such as https://HOST/PATH") from None
    schemes = {"https", "http"} if to_private else {"https"}
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidParameter(f"url: expected at most {LONGEST_URL} visible ASCII characters")
    if parts.scheme not in schemes or not host:
        raise InvalidParameter(f"url: expected {' or '.join(sorted(schemes))}://HOST/PATH")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidParameter("url: expected one without a user, a password and a fragment")
    if not to_private and is_address(host) and not is_public(host):
        raise InvalidParameter("url: expected a public address")


def is_address(host: str) -> bool:
    """Whether a host is an IP address, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's: not private, loopback, link-local, or of a cloud's own.

    Also of what is hidden in it: an IPv4 address in one of IPv6 is judged as itself.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        hidden = found.ipv4_mapped or found.sixtofour
        if found in NAT64:
            hidden = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(str(hidden))
        if found.teredo is not None:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def threshold(used_nanos: int, cap_nanos: int | None, *, is_used_up: bool) -> int:
    """Return the highest of `THRESHOLDS` that is reached, 0 for none.

    `is_used_up` is that a budget has no room for the next call: a cap is hardly ever met to the nano.
    """
    if cap_nanos is None:
        return 0
    if is_used_up:
        return THRESHOLDS[-1]
    reached = [percent for percent in THRESHOLDS if used_nanos * 100 >= percent * cap_nanos]
    return max(reached, default=0)

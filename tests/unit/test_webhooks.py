"""Where a webhook may lead, and how its messages are signed."""

import base64
import json
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.errors import InvalidParameter
from jobs.webhooks import RETRY_AFTER, check_url, is_public, new_secret, signature, threshold


@pytest.mark.parametrize(
    "address",
    [
        *["127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"],  # noqa: S104
        *["169.254.169.254", "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"],
        *["255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1"],
        *["fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"],
        *["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "2001:db8::1"],
        *["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    ],
)
def test_an_address_that_is_not_the_internets_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *["http://example.com/x", "ftp://example.com", "file:///etc/passwd", "//example.com", ""],
        *["https://", "https:///x", "https://user:word@example.com/", "https://example.com/#x"],
        *[
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]:8443/x",
            "https://a b/",
        ],
        *[
            "https://example.com:99999/",
            "https://exämple.com/",
            "https://example.com/\n",
            "x" * 3000,
        ],
        *[
            "https://[fe80::1%25eth0]/",
            "gopher://127.0.0.1:6379/_x",
            "https://169.254.169.254/latest",
        ],
    ],
)
def test_a_webhook_does_not_lead_there(url: str) -> None:
    with pytest.raises(InvalidParameter, match="url: expected"):
        check_url(url, to_private=False)


def test_an_operator_may_allow_what_is_private() -> None:
    check_url("https://example.com/hooks?x=1", to_private=False)
    check_url("http://10.0.0.1:8080/hooks", to_private=True)
    with pytest.raises(InvalidParameter):
        check_url("ftp://10.0.0.1/", to_private=True)


def test_a_receivers_own_library_verifies_a_message() -> None:
    secret, body, now_s = new_secret(), json.dumps({"type": "batch.completed"}), int(time.time())
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(secret, "msg_1", now_s, body),
    }
    assert Webhook(secret).verify(body, headers) == json.loads(body)
    for name, value in (("webhook-id", "msg_2"), ("webhook-timestamp", str(now_s - 600))):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers | {name: value})
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)


@pytest.mark.parametrize(
    ("used", "cap", "is_used_up", "percent"),
    [
        (0, 100, False, 0),
        (49, 100, False, 0),
        (50, 100, False, 50),
        (80, 100, False, 80),
        (100, 100, False, 100),
        (120, 100, False, 100),
        (97, 100, True, 100),
        (97, None, False, 0),
    ],
)
def test_a_threshold_is_reached_by_what_is_spent_or_when_nothing_more_fits(
    used: int, cap: int | None, is_used_up: bool, percent: int
) -> None:
    assert threshold(used, cap, is_used_up=is_used_up) == percent


def test_a_message_is_tried_for_about_a_day() -> None:
    assert 20 < sum(wait.total_seconds() for wait in RETRY_AFTER) / 3600 < 28
    assert list(RETRY_AFTER) == sorted(RETRY_AFTER)

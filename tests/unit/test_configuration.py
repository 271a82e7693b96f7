"""The file of providers: read as it is meant, or refused with the field and what was expected."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.configuration import (
    FAILOVER_AFTER_S,
    Charges,
    Configuration,
    Limits,
    ProtocolName,
    Provider,
    load_configuration,
)
from jobs.errors import ConfigurationError
from jobs.key_references import read_key

WHOLE = """
default_max_tokens = 300

[providers.openai]
protocol = "openai"
base_url = "https://api.openai.com/v1/"
models = ["gpt-*", "o3"]

[[providers.openai.pools]]
name = "main"
keys = ["env:OPENAI_API_KEY", "file:~/key"]
limits = { rpm = 10000, tpm = 2000000, concurrency = 500 }
[[providers.openai.pools.model_limits]]
models = ["gpt-4o*"]
limits = { rpm = 500, tpm = 300000 }

[providers.local]
protocol = "openai"
base_url = "http://127.0.0.1:8000/v1"

[routes.cheap]
targets = ["openai/gpt-4o-mini", "local/org/model"]

[prices."openai/my-finetune"]
input = "0.30"
output = "1.20"
"""

PROVIDER = '[providers.p]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'

REFUSED = {
    "not toml": ("[providers", "is not valid TOML"),
    "an unknown section": ("[provider.p]\n", "provider: there is no such parameter"),
    "an unknown field": (PROVIDER + 'url = "x"\n', r"providers\.p\.url: there is no such"),
    "no protocol": ('[providers.p]\nbase_url = "http://x"\n', r"providers\.p\.protocol: Field req"),
    "an unknown protocol": (
        PROVIDER.replace('"openai"', '"smtp"'),
        r"providers\.p\.protocol: .*'openai', 'anthropic', 'gemini' or 'mistral'",
    ),
    "an address without a scheme": (
        PROVIDER.replace("http://", ""),
        r"providers\.p\.base_url: .*http:// or https://",
    ),
    "a name that is no queue": (
        PROVIDER.replace("providers.p", 'providers."P Q"'),
        r"providers\.P Q\.\[key\]: expected 1 to 63 of a-z",
    ),
    "no pool": (PROVIDER + "pools = []\n", r"providers\.p\.pools: .*at least 1 item"),
    "two pools of one name": (PROVIDER + '[[providers.p.pools]]\nname = "a"\n' * 2, "same name"),
    "a key itself": (
        PROVIDER + '[[providers.p.pools]]\nkeys = ["sk-secret"]\n',
        r"providers\.p\.pools\.0\.keys\.0: .*env:NAME or file:PATH, never the key itself",
    ),
    "a key without a name": (
        PROVIDER + '[[providers.p.pools]]\nkeys = ["env:"]\n',
        "env:NAME or file:PATH",
    ),
    "a limit of zero": (
        PROVIDER + "[[providers.p.pools]]\nlimits = { rpm = 0 }\n",
        r"providers\.p\.pools\.0\.limits\.rpm: .*greater than 0$",
    ),
    "a limit that is no number": (
        PROVIDER + '[[providers.p.pools]]\nlimits = { rpm = "600" }\n',
        r"limits\.rpm: .*valid integer$",
    ),
    "a limit that is a yes": (
        PROVIDER + "[[providers.p.pools]]\nlimits = { rpm = true }\n",
        r"limits\.rpm: .*valid integer$",
    ),
    "a limit beyond all bounds": (
        PROVIDER + "[[providers.p.pools]]\nlimits = { rpm = 99999999999999999999 }\n",
        r"limits\.rpm: .*less than or equal to 1000000000000$",
    ),
    "a key in two pools": (
        PROVIDER
        + '[[providers.p.pools]]\nname = "a"\nkeys = ["env:K"]\n'
        + '[[providers.p.pools]]\nname = "b"\nkeys = ["env:L", "env:K"]\n',
        "pools 'a' and 'b' both have the key env:K",
    ),
    "an unknown limit": (
        PROVIDER + "[[providers.p.pools]]\nlimits = { rpy = 1 }\n",
        r"limits\.rpy: there is no such",
    ),
    "a route to nowhere": (
        PROVIDER + '[routes.cheap]\ntargets = ["q/m"]\n',
        r"route 'cheap': target 'q/m' must be PROVIDER/MODEL with a provider of this file \(p\)",
    ),
    "a route without a model": (PROVIDER + '[routes.cheap]\ntargets = ["p/"]\n', "target 'p/'"),
    "a route of a file without providers": (
        '[routes.cheap]\ntargets = ["p/m"]\n',
        r"\(there is none\)",
    ),
    "an empty route": ("[routes.cheap]\ntargets = []\n", r"routes\.cheap\.targets: .*at least 1"),
    "a route with a weight too few": (
        PROVIDER + '[routes.cheap]\ntargets = ["p/m", "p/n"]\nweights = [3]\n',
        r"routes\.cheap: .*2 targets and 1 weights: give one for each",
    ),
    "a route with a target that gets nothing": (
        PROVIDER + '[routes.cheap]\ntargets = ["p/m", "p/n"]\nweights = [3, 0]\n',
        r"routes\.cheap\.weights\.1: .*greater than 0",
    ),
    "a route that names a target twice": (
        PROVIDER + '[routes.cheap]\ntargets = ["p/m", "p/m"]\n',
        r"routes\.cheap: .*a target is named twice",
    ),
    "a route that never waits long enough": (
        PROVIDER + '[routes.cheap]\ntargets = ["p/m"]\nfailover_after_s = -1\n',
        r"routes\.cheap\.failover_after_s: .*greater than or equal to 0",
    ),
    "a route that waits for ever": (
        PROVIDER + '[routes.cheap]\ntargets = ["p/m"]\nfailover_after_s = inf\n',
        r"routes\.cheap\.failover_after_s: ",
    ),
    "a provider that charges otherwise": (
        PROVIDER + 'charges = "nothing"\n',
        r"providers\.p\.charges: .*'max_output', 'real' or 'input'",
    ),
    "responses of another protocol": (
        PROVIDER.replace('"openai"', '"gemini"') + "responses = true\n",
        r"providers\.p: .*`responses` is of providers with the protocol 'openai' only",
    ),
    "half a price of native batches": (
        '[prices."p/m"]\ninput = "1"\noutput = "2"\nbatch_input = "0.5"\n',
        "`batch_input` and `batch_output` are given together",
    ),
    "a native batch that is never looked at": (
        PROVIDER + "[providers.p.batch_lane]\nlook_every_s = 0\n",
        r"providers\.p\.batch_lane\.look_every_s: .*greater than 0",
    ),
    "a picture of no tokens": ("max_image_tokens = 0\n", r"max_image_tokens: .*greater than 0"),
    "a price of nothing": (
        '[prices.m]\ninput = "1"\noutput = "1"\n',
        "price 'm' must be named PROVIDER/MODEL",
    ),
    "a price that is no number": (
        '[prices."p/m"]\ninput = "cheap"\noutput = "1"\n',
        r"prices\.p/m\.input: .*decimal string such as '0\.30'",
    ),
    "a price in another script": (
        '[prices."p/m"]\ninput = "1_0"\noutput = "1"\n',
        r"prices\.p/m\.input: .*decimal string such as '0\.30'",
    ),
    "a negative price": (
        '[prices."p/m"]\ninput = "1"\noutput = "-1"\n',
        r"prices\.p/m\.output: .*zero or more",
    ),
    "a price as a float": (
        '[prices."p/m"]\ninput = 0.3\noutput = "1"\n',
        r"prices\.p/m\.input: .*valid string",
    ),
}


def load(folder: Path, text: str) -> Configuration:
    path = folder / "tidemill.toml"
    path.write_text(text, encoding="utf-8")
    return load_configuration(path)


def test_a_whole_file_is_read_as_it_is_meant(tmp_path: Path) -> None:
    configuration = load(tmp_path, WHOLE)
    openai, local = configuration.providers["openai"], configuration.providers["local"]
    assert openai.base_url == "https://api.openai.com/v1"
    assert openai.pools[0].limits == Limits(rpm=10_000, tpm=2_000_000, concurrency=500)
    assert openai.pools[0].model_limits[0].limits == Limits(rpm=500, tpm=300_000)
    assert [pool.name for pool in local.pools] == ["main"]
    assert local.pools[0].keys == ()
    assert configuration.routes["cheap"].targets == ("openai/gpt-4o-mini", "local/org/model")
    assert configuration.prices["openai/my-finetune"].cached_input is None
    assert configuration.default_max_tokens == 300


def test_a_route_has_an_order_and_may_have_weights_and_a_patience_of_its_own(
    tmp_path: Path,
) -> None:
    text = PROVIDER + '[routes.cheap]\ntargets = ["p/m", "p/n"]\n'
    plain = load(tmp_path, text).routes["cheap"]
    assert (plain.weights, plain.failover_after_s) == ((), FAILOVER_AFTER_S)
    shared = load(tmp_path, text + "weights = [3, 1]\nfailover_after_s = 0\n").routes["cheap"]
    assert (shared.weights, shared.failover_after_s) == ((3, 1), 0.0)


@pytest.mark.parametrize(
    ("protocol", "host", "has_lane"),
    [
        ("openai", "api.openai.com", True),
        ("openai", "eu.api.openai.com", True),
        ("openai", "notopenai.com", False),
        ("openai", "api.anthropic.com", False),
        ("anthropic", "api.anthropic.com", True),
        ("gemini", "generativelanguage.googleapis.com", True),
        ("mistral", "api.eu.mistral.ai", True),
        ("mistral", "127.0.0.1:9", False),
    ],
)
def test_the_companies_own_hosts_have_the_batch_lane(
    protocol: str, host: str, has_lane: bool
) -> None:
    provider = Provider(protocol=ProtocolName(protocol), base_url=f"https://{host}/v1")
    assert (provider.lane is not None) is has_lane


def test_a_batch_lane_can_be_had_elsewhere_and_be_turned_off(tmp_path: Path) -> None:
    lane = "[providers.p.batch_lane]\nenqueued_tokens = 900000\nlook_every_s = 2\n"
    own = load(tmp_path, PROVIDER + lane).providers["p"]
    assert own.lane is not None
    assert (own.lane.enqueued_tokens, own.lane.look_every_s, own.lane.max_jobs) == (
        900_000,
        2,
        None,
    )
    off = load(tmp_path, PROVIDER + "[providers.p.batch_lane]\nenabled = false\n").providers["p"]
    assert off.lane is None


def test_what_a_provider_charges_is_known_or_said(tmp_path: Path) -> None:
    assert load(tmp_path, PROVIDER).providers["p"].charges is None
    said = load(tmp_path, PROVIDER + 'charges = "max_output"\n').providers["p"]
    assert said.charges is Charges.MAX_OUTPUT


def test_what_a_picture_is_at_most_is_said_or_not_known(tmp_path: Path) -> None:
    assert load(tmp_path, PROVIDER).max_image_tokens is None
    assert load(tmp_path, "max_image_tokens = 50000\n" + PROVIDER).max_image_tokens == 50_000


def test_patterns_tell_which_models_a_provider_serves(tmp_path: Path) -> None:
    providers = load(tmp_path, WHOLE).providers
    assert providers["openai"].serves("gpt-4o")
    assert not providers["openai"].serves("GPT-4o")
    assert not providers["openai"].serves("o3-mini")
    assert not providers["local"].serves("anything")


def test_no_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert load_configuration(tmp_path / "nowhere.toml") == Configuration()


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_is_refused_with_its_name_the_field_and_what_was_expected(
    case: str, tmp_path: Path
) -> None:
    text, message = REFUSED[case]
    with pytest.raises(ConfigurationError, match=message) as raised:
        load(tmp_path, text)
    assert raised.value.message.startswith(str(tmp_path / "tidemill.toml"))
    assert "\n" not in raised.value.message
    assert "sk-secret" not in raised.value.message


def test_every_fault_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, PROVIDER.replace('"openai"', '"smtp"').replace("http://", ""))
    assert "providers.p.protocol" in raised.value.message
    assert "providers.p.base_url" in raised.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_configuration(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_configuration(tmp_path / "latin.toml")


def test_a_key_is_read_from_where_its_reference_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", " sk-1\n")
    (tmp_path / "key").write_text("sk-2\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_key("env:SOME_KEY").get_secret_value() == "sk-1"
    assert read_key(f"file:{tmp_path / 'key'}").get_secret_value() == "sk-2"
    assert read_key("file:~/key").get_secret_value() == "sk-2"
    assert "sk-2" not in repr(read_key("file:~/key"))


def test_a_key_that_is_not_there_is_named_and_never_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(b"sk-\xff")
    monkeypatch.setenv("BLANK", "  ")
    for reference, message in (
        ("env:NOT_SET", "variable NOT_SET is not set"),
        ("env:BLANK", "variable BLANK is not set"),
        (f"file:{tmp_path / 'empty'}", "empty is empty"),
        (f"file:{tmp_path / 'bytes'}", "bytes is not a text in UTF-8"),
        (f"file:{tmp_path / 'none'}", "none can't be read: No such file"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            read_key(reference)


def test_a_name_that_can_not_be_is_told_in_words_and_not_by_its_pattern(tmp_path: Path) -> None:
    path = tmp_path / "tidemill.toml"
    path.write_text(
        '[providers."Open AI"]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:9"\n'
        '[routes."a/b"]\ntargets = ["x/y"]\n'
    )
    with pytest.raises(ConfigurationError) as raised:
        load_configuration(path)
    assert "expected 1 to 63 of a-z" in raised.value.message
    assert "without / and without blanks" in raised.value.message
    assert "^" not in raised.value.message
    assert "Value error" not in raised.value.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "//api.test/v1",
        "HTTP://api.test",
        "file:///etc/passwd",
        "ftp://api.test",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "unix:///run/docker.sock",
        "javascript:alert(1)",
        "data:text/plain,x",
        "jar:http://api.test!/",
        "dict://127.0.0.1:11211/stat",
        "http:api.test",
        "http:/api.test",
        "http:///v1",
        "http://",
        "http://:80/v1",
        "http://?",
        "http://#",
        "http:// api.test",
        "http://api.test /v1",
        "http://api.test\\@evil.test/v1",
        "http:\\\\api.test",
        "http://api.test\\.evil.test",
        "http://sk-user:sk-secret@api.test/v1",
        "http://sk-secret@api.test/v1",
        "http://@api.test/v1",
        "http://api.test@evil.test/v1",
        "http://api.test:80@evil.test/v1",
        "http://api.test%40evil.test:x/v1",
        "http://api.test/v1?key=sk-secret",
        "http://api.test/v1#part",
        "http://api.test#@evil.test/",
        "http://api.test?@evil.test/",
        "http://api.test:0/v1",
        "http://api.test:65536/v1",
        "http://api.test:-1/v1",
        "http://api.test:80a/v1",
        "http://api.test:80:90/v1",
        "http://[::1/v1",
        "http://::1]/v1",
        "http://[zz]/v1",
        "http://api.test\t/v1",
        "http://api.test\r\nhost: evil.test/v1",
        "http://api\u3002test/v1",
        "http://\uff41pi.test/v1",
        "http://\u24d0pi.test/v1",
        "http://api\u200b.test/v1",
        "http://b\u00fccher.test/v1",
        "http://api.test\x00.evil.test/v1",
        "\x01http://api.test/v1",
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Provider(protocol=ProtocolName.OPENAI, base_url=url)
    (fault,) = raised.value.errors(include_input=False)
    assert fault["loc"] == ("base_url",)
    assert "must" in fault["msg"]
    assert "sk-secret" not in fault["msg"]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://127.0.0.1:9100/gemini/v1beta",
        "http://[::1]:8000/v1",
        "http://localhost",
        "https://xn--bcher-kva.test:8443/a/b",
    ],
)
def test_a_plain_address_is_taken_as_it_is(url: str) -> None:
    assert Provider(protocol=ProtocolName.OPENAI, base_url=url).base_url == url

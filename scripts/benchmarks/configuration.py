"""The `tidemill.toml` of a measured system: one provider, one model, and the limits that it knows of."""

from collections.abc import Mapping

from scripts.benchmarks.workload import INPUT_USD, MODEL, OUTPUT_USD, PROVIDER

BEYOND_REACH = {"rpm": 6_000_000, "tpm": 6_000_000_000}
"""The gate is asked for every call, and never the reason to wait."""

VERSIONS = {"gemini": "v1beta"}
"""Of the protocols that have another than `v1`."""

TEMPLATE = """\
[providers.{provider}]
protocol = "{protocol}"
base_url = "{base_url}"
models = ["{model}"]
{charges}
[[providers.{provider}.pools]]
limits = {{ {limits} }}
[prices."{provider}/{model}"]
input = "{input_usd}"
output = "{output_usd}"
"""


def configuration(
    url: str, limits: Mapping[str, int], *, protocol: str = "openai", charges: str = ""
) -> str:
    """Return it for the simulator at `url`; without `limits` they are learned or found."""
    path = "/v1" if protocol == "openai" else f"/{protocol}/{VERSIONS.get(protocol, 'v1')}"
    return TEMPLATE.format(
        provider=PROVIDER,
        protocol=protocol,
        base_url=url + path,
        model=MODEL,
        charges=f'charges = "{charges}"' if charges else "",
        limits=", ".join(f"{name} = {count}" for name, count in limits.items()),
        input_usd=INPUT_USD,
        output_usd=OUTPUT_USD,
    )

"""Templates of prompts: they fill in variables, reach nothing else, and end."""

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.filters import MissingVariable, RenderedTooLarge, UnfitVariables
from jobs.kinds.templates import (
    MAX_PLACES,
    MAX_TEMPLATE_CHARACTERS,
    UnusableTemplate,
    check_template,
    head_of,
    render,
)

ORDER = {"items": [1, True, None, "x"], "customer": {"name": "Ada", "tags": ["a", "b"]}}

FILLED: list[tuple[str, dict[str, Any], str]] = [
    ("Hello {{ name }}!", {"name": "Ada"}, "Hello Ada!"),
    ("{{ text }}", {"text": "<b>&{{ name }}"}, "<b>&{{ name }}"),
    ("{{ order.customer.name }}, {{ order['customer'].tags[1] }}", {"order": ORDER}, "Ada, b"),
    ("{{ order.items }}", {"order": ORDER}, '[1,true,null,"x"]'),
    ("{{ a }} {{ b }} {{ c }}", {"a": None, "b": True, "c": 1.5}, "null true 1.5"),
    (
        "{% for tag in tags if tag %}{{ loop.index }}. {{ tag|upper }}{% if not loop.last %}, {% endif %}"
        "{% else %}none{% endfor %}",
        {"tags": ["a", "", "b"]},
        "1. A, 2. B",
    ),
    (
        "{% for name, n in counts|items %}{{ name }}={{ n }};{% endfor %}",
        {"counts": {"a": 1}},
        "a=1;",
    ),
    (
        "{% if n > 1 and lang in ['fr', 'de'] %}yes{% elif n == 1 %}one{% endif %}",
        {"n": 2, "lang": "de"},
        "yes",
    ),
    ("{{ x|default('none') }} {{ 'a' if y is defined else 'b' }}", {}, "none b"),
    (
        "{{ xs|join(', ') }} {{ xs|length }} {{ xs|first }} {{ t|trim|truncate(2) }}",
        {"xs": [1, "b"], "t": " abc "},
        "1, b 2 1 ab",
    ),
    ("{{ t|tojson }}", {"t": 'say "no"'}, '"say \\"no\\""'),
    ("{% raw %}{{ x }}{% endraw %}{# a note #}", {}, "{{ x }}"),
]


@pytest.mark.parametrize(("template", "variables", "filled"), FILLED)
def test_variables_are_filled_in(template: str, variables: dict[str, Any], filled: str) -> None:
    assert render(template, variables) == filled


MISSING = [
    ("{{ name }}", {}, "name"),
    ("{{ a.b }}", {"a": {}}, "b"),
    ("{{ a.b.c }}", {"a": {}}, "b"),
    ("{{ a[3] }}", {"a": [1]}, "3"),
    ("{% for x in xs %}{% endfor %}", {}, "xs"),
    ("{% if x %}{% endif %}", {}, "x"),
    ("{% if x == 1 %}{% endif %}", {}, "x"),
    ("{{ x|upper }}{{ y }}", {}, "x"),
    ("{{ x|join }}", {}, "x"),
    ("{{ x|length }}", {}, "x"),
    ("{{ text.__class__ }}", {"text": "a"}, "__class__"),
    ("{{ text['__class__'] }}", {"text": "a"}, "__class__"),
    ("{{ xs.append }}", {"xs": []}, "append"),
    ("{{ loop.index }}", {}, "loop"),
    ("{% for x in xs %}{{ loop.cycle }}{% endfor %}", {"xs": [1]}, "cycle"),
    ("{{ range }}", {}, "range"),
    ("{{ true1 }}", {"true": 1}, "true1"),
]


@pytest.mark.parametrize(("template", "variables", "name"), MISSING)
def test_what_is_not_there_is_named(template: str, variables: dict[str, Any], name: str) -> None:
    with pytest.raises(MissingVariable) as raised:
        render(template, variables)
    assert raised.value.name == name
    assert f"`{name}`" in str(raised.value)


UNUSABLE = [
    "{% " + "y" * 500 + " %}",
    "{{ x|" + "y" * 500 + " }}",
    "{{",
    "{% if x %}",
    "{{ range(10) }}",
    "{{ x.format(1) }}",
    "{{ ''.__class__.__mro__() }}",
    "{{ 'a' * 1000000000 }}",
    "{{ x ~ x }}",
    "{{ x + x }}",
    "{{ x ** x }}",
    "{{ x|center(1000000000) }}",
    "{{ '%9999999999d'|format(1) }}",
    "{{ x|attr('y') }}",
    "{{ x|map('upper') }}",
    "{{ x|join(x) }}",
    "{{ x|join('" + "y" * 101 + "') }}",
    "{{ x|truncate('1') }}",
    "{{ x|upper(1, 2) }}",
    "{{ x|upper(*y) }}",
    "{{ x|default(value=1) }}",
    "{{ x is callable }}",
    "{{ x is divisibleby(3) }}",
    "{% set x = 1 %}",
    "{% macro a() %}{% endmacro %}",
    "{% call x() %}{% endcall %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% block x %}{% endblock %}",
    "{% filter upper %}{% endfilter %}",
    "{% with a = 1 %}{% endwith %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% for x in y recursive %}{% endfor %}",
    "{{ self }}",
    "{{ _meter }}",
    "{{ {'a': x} }}",
    "{{ x[1:2] }}",
    "{{ " + "(" * 5_000 + "x" + ")" * 5_000 + " }}",
    "{{ " + "not " * 5_000 + "x }}",
    "{{ x" + "|upper" * 5_000 + " }}",
    "{% if x %}" * 100 + "{% endif %}" * 100,
    "{% for x in y %}" * 25 + "{% endfor %}" * 25,
    "{{ x }}" * (MAX_PLACES + 1),
    "x" * (MAX_TEMPLATE_CHARACTERS + 1),
]


@pytest.mark.parametrize("template", UNUSABLE, ids=lambda text: text[:40])
def test_what_prompts_do_not_need_is_refused(template: str) -> None:
    with pytest.raises(UnusableTemplate) as raised:
        check_template(template)
    assert len(str(raised.value)) <= 200
    assert "y" * 90 not in str(raised.value)


def test_a_fault_names_its_line() -> None:
    with pytest.raises(UnusableTemplate, match="line 2: call is not supported"):
        check_template("a\n{{ b() }}")


UNFIT = [
    ("{% for x in t %}{% endfor %}", {"t": "abc"}),
    ("{% for a, b in xs %}{% endfor %}", {"xs": [1]}),
    ("{% if a < b %}{% endif %}", {"a": 1, "b": "x"}),
    ("{{ x|items }}", {"x": [1]}),
    ("{{ x|join }}", {"x": 1}),
    ("{{ x|first }}", {"x": []}),
    ("{{ -x }}", {"x": "a"}),
]


@pytest.mark.parametrize(("template", "variables"), UNFIT)
def test_a_variable_of_another_type_is_told(template: str, variables: dict[str, Any]) -> None:
    with pytest.raises(UnfitVariables):
        render(template, variables)


LIST = [0] * 100_000
OBJECT = dict.fromkeys(map(str, LIST), 1) | {str(number): 1 for number in range(100_000)}
TEXT = "x" * 1_000_000

ENDLESS = [
    "{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}",
    "{% for a in l %}{% for b in l %}{{ t }}{% endfor %}{% endfor %}",
    "{% for a in l %}{% for b in l if b %}{{ t }}{% endfor %}{% endfor %}",
    "{% for a in l %}{% for b in l %}{{ loop.length }}{% endfor %}{% endfor %}",
    "{% for a in l %}{% if t == u %}{% endif %}{% endfor %}",
    "{% for a in l %}{% if t in u %}{% endif %}{% endfor %}",
    "{% for a in l %}{% if o == o %}{% endif %}{% endfor %}",
    "{% for a in l %}{% if t|upper is none %}{% endif %}{% endfor %}",
    "{% for a in l %}{% if l|join is none %}{% endif %}{% endfor %}",
    "{% for a in l %}{% if o|items is none %}{% endif %}{% endfor %}",
    "{% for a in l %}{% if l|tojson is none %}{% endif %}{% endfor %}",
    "{% for a in o|items %}{% for b in o|items %}{% endfor %}{% endfor %}",
    "{{ t }}" * 30,
    "{{ l|join('" + "y" * 100 + "') }}",
]


@pytest.mark.parametrize("template", ENDLESS)
def test_what_would_run_for_ever_or_fill_the_memory_ends(template: str) -> None:
    """Some of these would take days, others terabytes."""
    since_s = time.process_time()
    with pytest.raises(RenderedTooLarge):
        render(template, {"l": LIST, "o": OBJECT, "t": TEXT, "u": TEXT[:-1] + "y"})
    assert time.process_time() - since_s < 2.0


@pytest.mark.parametrize("piece", ["{{ x }}", "{% if x %}{% endif %}", "{#", "{{ '", "{{ x[", "}}"])
def test_a_hostile_template_is_compiled_or_refused_in_a_moment(piece: str) -> None:
    since_s = time.process_time()
    with suppress(UnusableTemplate):
        check_template(piece * (MAX_TEMPLATE_CHARACTERS // len(piece)))
    assert time.process_time() - since_s < 2.0


def test_the_most_work_that_is_allowed_takes_a_moment() -> None:
    since_s = time.process_time()
    filled = render("{% for a in l %}{{ a }},{% endfor %}", {"l": LIST[:90_000]})
    assert time.process_time() - since_s < 2.0
    assert len(filled) == 180_000


WORDS = st.sampled_from(
    [
        *[
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            " ",
            "x",
            "y",
            ".",
            "[",
            "]",
            "(",
            ")",
            "|",
            "'",
            '"',
        ],
        *[
            "if ",
            "endif",
            "for ",
            " in ",
            "endfor",
            "else",
            "not ",
            "and ",
            "upper",
            "join",
            "1",
            "-",
        ],
        *["__class__", "_", "~", "*", "=", "set ", "items", "is ", "defined", "loop", "\n", "raw"],
    ]
)


@given(words=st.lists(WORDS, max_size=25))
def test_whatever_a_template_says_it_is_filled_or_refused(words: list[str]) -> None:
    template = "".join(words)
    try:
        filled = render(template, {"x": "text", "y": [{"x": 1}]})
    except (UnusableTemplate, UnfitVariables):
        return
    assert "object at 0x" not in filled
    assert "<class" not in filled


@pytest.mark.parametrize(
    ("template", "head"),
    [
        ("Translate this: {{ text }}", "Translate this: "),
        ("{{ text }} is to be translated", ""),
        ("Say it in {% if short %}short{% endif %}", "Say it in "),
        ("Say {{- text }}", "Say"),
        ("Say {# what follows #}{{ text }}", "Say "),
        ("No variable", "No variable"),
        ("", ""),
    ],
)
def test_the_head_is_what_is_written_before_anything_is_filled_in(template: str, head: str) -> None:
    assert head_of(template) == head
    assert render(template, {"text": "x", "short": True}).startswith(head)

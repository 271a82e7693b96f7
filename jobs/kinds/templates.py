"""Templates of prompts: the part of Jinja's language that fills in variables, in bounded time and space.

A template comes from a user, and is rendered in the processes of everybody. Jinja's sandbox keeps it
from Python, but not from running for ever or from filling the memory: `range(10 ** 9)`, loops within
loops, a text that is doubled forty times, a pad of a billion blanks. So its language is cut down before
it is compiled, to what a prompt needs: variables, `if`, `for` over a variable, comparisons, and the
filters of `jobs.kinds.filters`. No calls, no arithmetic, no `set`, no macros, no other templates; a name
after a dot is a key of an object, never an attribute of Python's. What is left is counted as it runs:
each piece that is written, each turn of a loop, each text that is looked through.

What is written of a value that is no text is JSON. Filling in three variables takes 4 us, compiling a
template 0.4 ms, once for a batch.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Template, Undefined, meta, nodes
from jinja2.exceptions import TemplateError, TemplateSyntaxError
from jinja2.runtime import LoopContext
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from jobs.kinds.filters import (
    FILTERS,
    METER,
    SHOWN_CHARACTERS,
    Meter,
    Missing,
    RenderedTooLarge,
    UnfitVariables,
    each,
    looked_at,
    written,
)

MAX_TEMPLATE_CHARACTERS = 64 * 1024
"""A prompt's fixed part; what is longer belongs in a variable."""

MAX_RENDERED_CHARACTERS = 4_000_000
"""A million tokens, the largest context window that is sold."""

MAX_PLACES = 300
"""Of a template that are filled in or decided; compiling so many takes 0.1 s."""

MAX_LEVELS = 40
"""Of a template's syntax tree. Python compiles twenty loops within each other, and no more."""

MAX_ARGUMENT_CHARACTERS = 100
"""Of a filter's argument, such as what stands between the items of a list."""

KEPT_TEMPLATES = 64
"""Compiled templates that are kept: a batch has one or a few."""

_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Filter),
    *(nodes.Getattr, nodes.Getitem, nodes.Tuple, nodes.List, nodes.Test, nodes.If, nodes.For),
    *(nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg),
)
_NOT_VARIABLES = frozenset({"self", "super", "caller", "varargs", "kwargs"})
_OF_LOOPS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_TESTS = frozenset({"defined", "undefined", "none", "string", "number", "mapping", "boolean"})


class UnusableTemplate(ValueError):
    """The template can't be used, whatever its variables are."""


def render(source: str, variables: Mapping[str, Any]) -> str:
    """Return the template, filled in.

    Raises:
        UnusableTemplate: see `check_template`.
        UnfitVariables: one is missing or of the wrong type, or the text becomes too long.
    """
    meter = Meter()
    pieces: list[str] = []
    left = MAX_RENDERED_CHARACTERS
    try:
        for piece in _compiled(source).generate({**variables, METER: meter}):
            left -= len(piece)
            if left < 0:
                raise RenderedTooLarge(
                    f"the filled template has more than {MAX_RENDERED_CHARACTERS:,} characters"
                )
            pieces.append(piece)
    except (UnusableTemplate, UnfitVariables):
        raise
    except (TemplateError, TypeError, ValueError, LookupError, RecursionError) as error:
        raise UnfitVariables(
            f"the template can't be filled in: {str(error)[:SHOWN_CHARACTERS]}"
        ) from error
    return "".join(pieces)


def check_template(source: str) -> None:
    """Find out whether a template can be used.

    Raises:
        UnusableTemplate: it is too long, no template, or has what is not allowed here.
    """
    _compiled(source)


def variables_of(source: str) -> frozenset[str]:
    """Return the names of the variables that a template is filled in with.

    Raises:
        UnusableTemplate: see `check_template`.
    """
    _compiled(source)
    return frozenset(meta.find_undeclared_variables(_environment.parse(source)))


@lru_cache(maxsize=KEPT_TEMPLATES)
def head_of(source: str) -> str:
    """Return the text before the template's first place: what it writes first, whatever is filled in.

    Raises:
        UnusableTemplate: see `check_template`.
    """
    _compiled(source)
    match _environment.parse(source).body:
        case [nodes.Output(nodes=[nodes.TemplateData(data=head), *_]), *_]:
            return str(head)
        case _:
            return ""


class _Environment(SandboxedEnvironment):
    """Jinja, where whatever stands after a dot or in brackets is data."""

    def __init__(self) -> None:
        # What is rendered is a prompt and no HTML.
        super().__init__(autoescape=False, undefined=Missing, finalize=written)
        self.globals.clear()
        self.filters = {**FILTERS, "_each": each, "_looked_at": looked_at}
        self.tests = {name: self.tests[name] for name in _TESTS | {"in"}}

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and attribute in _OF_LOOPS:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            str(obj)
        if isinstance(obj, dict) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        is_place = isinstance(argument, int) and not isinstance(argument, bool)
        if isinstance(obj, list | str) and is_place and -len(obj) <= argument < len(obj):
            return obj[argument]
        return self.undefined(obj=obj, name=str(argument))


_environment = _Environment()


class _Metering(NodeTransformer):
    """Puts what counts into a syntax tree: at the lists of loops and at what is compared."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802  (Jinja looks for this name)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_each")
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        self.generic_visit(node)
        node.expr = _filtered(node.expr, "_looked_at")
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, "_looked_at")
        return node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@lru_cache(maxsize=KEPT_TEMPLATES)
def _compiled(source: str) -> Template:
    if len(source) > MAX_TEMPLATE_CHARACTERS:
        raise UnusableTemplate(
            f"has {len(source):,} characters; expected at most {MAX_TEMPLATE_CHARACTERS:,}"
        )
    if source.count("{{") + source.count("{%") > MAX_PLACES:
        raise UnusableTemplate(f"has more than {MAX_PLACES} places to fill in or to decide")
    try:
        tree = _environment.parse(source)
        _check(tree, MAX_LEVELS)
        _Metering().visit(tree)
        tree.set_environment(_environment)
        return _environment.from_string(tree)
    except TemplateSyntaxError as error:
        message = (error.message or "")[:SHOWN_CHARACTERS]
        raise UnusableTemplate(f"line {error.lineno}: {message}") from error
    except (TemplateError, SyntaxError, RecursionError, MemoryError) as error:
        raise UnusableTemplate("is nested too deeply, or no template") from error


def _check(node: nodes.Node, levels: int) -> None:
    """Raise UnusableTemplate at the first thing that is not allowed here."""
    if not levels:
        raise _refused(node, "is nested too deeply")
    if not isinstance(node, _ALLOWED):
        raise _refused(node, f"{type(node).__name__.lower()} is not supported in a template")
    match node:
        case nodes.Name(name=name) if name.startswith("_") or name in _NOT_VARIABLES:
            raise _refused(node, f"`{name[:SHOWN_CHARACTERS]}` can't be the name of a variable")
        case nodes.Filter():
            _check_filter(node)
        case nodes.Test() if node.name not in _TESTS or node.args or node.kwargs:
            raise _refused(node, f"expected `is` with one of {', '.join(sorted(_TESTS))}")
        case nodes.For() if node.recursive:
            raise _refused(node, "a loop can't be recursive")
        case _:
            pass
    for child in node.iter_child_nodes():
        _check(child, levels - 1)


def _check_filter(node: nodes.Filter) -> None:
    if node.name not in FILTERS or node.node is None:
        raise _refused(node, f"there is no filter {node.name[:SHOWN_CHARACTERS]!r} here")
    if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) > 1:
        raise _refused(node, "a filter has one argument at most")
    if node.name in {"default", "d"}:
        return
    for argument in node.args:
        value = argument.value if isinstance(argument, nodes.Const) else None
        wanted: type = int if node.name == "truncate" else str
        if type(value) is not wanted or len(str(value)) > MAX_ARGUMENT_CHARACTERS:
            raise _refused(node, f"the argument of {node.name} is no short constant")


def _refused(node: nodes.Node, what: str) -> UnusableTemplate:
    return UnusableTemplate(f"line {node.lineno or 1}: {what}")

"""Source code rules: functions that return the violations in a module or a text.

`test_architecture.py` applies them to all files, and to samples that must fail.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gateway.providers.catalog import PRESETS

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef

# Presets whose name is also a word of the wire: a kind of tool, a field, a URL's scheme.
WIRE_WORDS = {"custom", "demo", "messages", "chat", "anthropic_messages", "openai_chat"}
PROVIDERS = {
    name for preset in PRESETS.values() for name in (preset.name, *preset.aliases, *preset.litellm)
} - WIRE_WORDS
# A database has a vendor too.
DATABASES = {"sqlite", "postgresql"}
_DOCUMENTED = re.compile(r"    ([a-z_]\w*(?:, [a-z_]\w*)*): ")
_PROVIDER_LIKE = re.compile(r"^(?:\w+_)?(?:provider|preset|vendor)(?:_name|_kind)?$")


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield all functions, including nested ones."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def definition_lines(node: Definition) -> int:
    """Return the lines of a definition without its docstring."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def stale_documentation(module: ast.Module) -> list[str]:
    """Return names in `Attributes:` or `Args:` that the class or function does not have."""
    texts = []
    for node in ast.walk(module):
        if isinstance(node, Definition) and (text := ast.get_docstring(node)):
            names = _bound_names(node)
            texts += [
                f"{node.name}: {name}" for name in _documented_names(text) if name not in names
            ]
    return texts


def _documented_names(text: str) -> Iterator[str]:
    section = False
    for line in text.splitlines():
        if not line.startswith("    "):
            section = line in {"Attributes:", "Args:"} or (section and not line)
        elif section and (match := _DOCUMENTED.match(line)):
            yield from match[1].split(", ")


def _bound_names(node: Definition) -> set[str]:
    names = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name | ast.Attribute) and isinstance(child.ctx, ast.Store):
            names.add(child.id if isinstance(child, ast.Name) else child.attr)
        elif isinstance(child, ast.arg):
            names.add(child.arg)
        elif isinstance(child, Definition):
            names.add(child.name)
    return names


def unannotated(module: ast.Module) -> list[str]:
    """Return the functions with an unannotated argument or result."""
    return [f"{f.lineno} {f.name}" for f in functions(module) if _untyped(f)]


def _untyped(function: Function) -> bool:
    args = function.args
    arguments = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    arguments += [a for a in (args.vararg, args.kwarg) if a is not None]
    if arguments and arguments[0].arg in {"self", "cls"}:
        arguments = arguments[1:]
    return function.returns is None or any(a.annotation is None for a in arguments)


def undocumented(module: ast.Module) -> list[str]:
    """Return public names without a docstring, or with too long a first line."""
    texts = [] if _documented(module) else ["1 the module"]
    for node in _public(module):
        if not _documented(node):
            texts.append(f"{node.lineno} {node.name}")
    return texts


def _documented(node: ast.Module | Definition) -> bool:
    if isinstance(node, ast.Module) and not node.body:
        return True
    first = (ast.get_docstring(node) or "").partition("\n")[0]
    return 0 < len(first) <= 100


def _public(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Yield the public definitions of a module and its classes, except Django's Meta."""
    for child in node.body:
        if not isinstance(child, Definition) or child.name.startswith("_") or child.name == "Meta":
            continue
        yield child
        if isinstance(child, ast.ClassDef):
            yield from _public(child)


def branches_on_a_provider(module: ast.Module) -> list[int]:
    """Return the line numbers of decisions by a provider's name.

    These are a comparison, a `match` or a `startswith` with the name of any preset, and with
    any text if the compared value is called provider, preset or vendor.
    """
    return sorted({node.lineno for node in ast.walk(module) if _branches(node)})


def _branches(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return _decides(sides, [text for side in sides for text in _texts(side)])
    if isinstance(node, ast.Match):
        patterns = [text for case in node.cases for text in _texts(case.pattern)]
        return _decides([node.subject], patterns)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr not in {"startswith", "endswith"}:
        return False
    texts = [text for argument in node.args for text in _texts(argument)]
    return _decides([node.func.value], [text.rstrip("-_/:.") for text in texts])


def _decides(sides: list[ast.expr], texts: list[str]) -> bool:
    named = any(_PROVIDER_LIKE.match(_name(side)) for side in sides)
    return any(text in PROVIDERS or (named and text not in DATABASES) for text in texts if text)


def _name(node: ast.expr) -> str:
    """Return the last name of `a.provider`, `provider` or `row["provider"]`."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    if isinstance(node, ast.Attribute):
        # `provider.name` is the provider's.
        return _name(node.value) if node.attr == "name" else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _texts(node: ast.AST) -> list[str]:
    """Return the compared strings, without subscripts and arguments."""
    if isinstance(node, ast.Subscript | ast.Call):
        return []
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    return [text for child in ast.iter_child_nodes(node) for text in _texts(child)]


def unfinished_markers(text: str) -> list[str]:
    """Return the markers of unfinished work."""
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")
    return [mark for mark in marks if mark in text and re.search(rf"\b{mark}\b", text)]


def unescaped_markup(text: str) -> list[str]:
    """Return what puts values into a page without escaping."""
    return re.findall(r"\|\s*(safe(?:seq)?)\b|\b(mark_safe|autoescape\s+off)\b", text)


def machine_specific_texts(text: str) -> list[str]:
    """Return package registries, and paths that only the authors' machines have."""
    hosts = ("pypi", "files.pythonhosted", "pythonhosted", "npmjs", "registry.npmjs")
    texts = [f"{host}.org" for host in hosts if f"{host}.org" in text]
    texts += re.findall(r"\b(?:deb|security|archive)\.(?:debian\.org|ubuntu\.com)", text)
    return texts + re.findall(r"(?<![\w.*])/(?:work|farm|root)/", text)


def test_habits(module: ast.Module) -> list[str]:
    """Return test classes, and mocks of the project's own code."""
    texts = []
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            texts.append(f"{node.lineno} class {node.name}")
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", "") or "", *(alias.name for alias in node.names)]
            texts += [f"{node.lineno} {name}" for name in names if "mock" in name.split(".")]
    return texts

"""What Python prints, read: literals, and an SDK's objects among them."""

import ast
from typing import Any


def literal(text: str) -> Any:
    """A Python literal in which calls, as objects of an SDK are printed, stand for objects; None where it is none."""
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Dict():
            return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
        case ast.List() | ast.Tuple():
            return [_value(element) for element in node.elts]
        case ast.Call():
            members = ((member.arg, _value(member.value)) for member in node.keywords)
            return {name: value for name, value in members if name and value is not None}
        case _:
            return ast.literal_eval(node)

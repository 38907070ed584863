"""Logical constraints between columns, such as ``"stop > start"`` or ``"left + right == both"``.

Rules come from files, so they are read as a small language of their own and never executed: names
of columns (in backticks where they hold spaces or signs), numbers, texts, arithmetic,
comparisons, ``and``, ``or``, ``not``.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.data.column_checks import plain_series

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_LONGEST = 1_000


def constraint_columns(rule: str) -> set[str]:
    """Names of the columns that ``rule`` speaks of."""
    return {node.id for node in ast.walk(parse(rule)) if isinstance(node, ast.Name)}


def holds(table: pd.DataFrame, rule: str) -> np.ndarray:
    """(n,) bool: rows of ``table`` in which ``rule`` holds.

    Raises ValueError if the rule cannot be read, speaks of a column that is not there, or compares
    what cannot be compared.
    """
    tree = parse(rule)
    missing = sorted(constraint_columns(rule) - set(table.columns))
    if missing:
        raise ValueError(f"constraint {rule!r} speaks of {missing[0]!r}, which is not a column")
    try:
        value = _evaluate(tree, table, rule)
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"constraint {rule!r} cannot be evaluated: {error}") from error
    result = np.asarray(value)
    if result.dtype != bool or result.shape != (len(table),):
        raise ValueError(f"constraint {rule!r} is not a comparison of columns")
    return result


def parse(rule: str) -> ast.expr:
    """The rule as an expression; a name in backticks may hold spaces and signs."""
    if not isinstance(rule, str):
        raise TypeError(f"a constraint must be a text such as 'stop > start', got {rule!r}")
    if len(rule) > _LONGEST:
        raise ValueError(f"constraint {rule[:40]!r}... is longer than {_LONGEST} characters")
    names: list[str] = re.findall(r"`([^`]+)`", rule)
    text = rule
    for k, name in enumerate(names):
        text = text.replace(f"`{name}`", f"_quoted_{k}_", 1)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"constraint {rule!r} cannot be read: {error}; a column whose name holds spaces or "
            "signs stands in backticks, such as `age at entry` > 18"
        ) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and (found := re.fullmatch(r"_quoted_(\d+)_", node.id)):
            node.id = names[int(found.group(1))]
    return tree


def _evaluate(node: ast.expr, table: pd.DataFrame, rule: str) -> Any:
    match node:
        case ast.Name(id=name):
            return plain_series(table[name])
        case ast.Constant(value=int() | float() | str()):
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, table, rule)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~np.asarray(_evaluate(operand, table, rule), dtype=bool)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_evaluate(left, table, rule), _evaluate(right, table, rule))
        case ast.BoolOp(op=op, values=values):
            parts = [np.asarray(_evaluate(v, table, rule), dtype=bool) for v in values]
            return (
                np.logical_and.reduce(parts)
                if isinstance(op, ast.And)
                else np.logical_or.reduce(parts)
            )
        case ast.Compare(left=left, ops=ops, comparators=rights) if all(
            type(op) in _COMPARE for op in ops
        ):
            result: Any = True
            current = _evaluate(left, table, rule)
            for comparison, right in zip(ops, rights):
                following = _evaluate(right, table, rule)
                result = np.asarray(_COMPARE[type(comparison)](current, following)) & result
                current = following
            return result
    raise ValueError(
        f"constraint {rule!r} holds {ast.unparse(node)!r}; expected columns, numbers, texts, "
        "+ - * /, comparisons, and, or, not"
    )

"""Which parts of the SDK that need a right of their own a handler's sources import.
usage: reach.py FOLDER   prints their names, one a line
"""

import ast
import pathlib
import sys

REACH = ("http", "secrets", "sql")


def names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "qx_guest":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qx_guest."):
            yield node.module.removeprefix("qx_guest.")
        elif isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("qx_guest.") for alias in node.names if alias.name.startswith("qx_guest."))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "qx_guest":
            yield node.attr


found = set()
for file in pathlib.Path(sys.argv[1]).rglob("*.py"):
    try:
        found.update(names(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):
        pass  # The compiler says it, with the place.
for name in REACH:
    if name in found:
        print(name)

"""``python -m benchmarks``: what can be measured, and by which command.

python -m benchmarks                  lists the benchmarks
python -m benchmarks history ...      shows and compares what has been measured
python -m benchmarks NAME ...         runs one (benchmarks.molgen.NAME or benchmarks.trial_sim.NAME)
"""

from __future__ import annotations

import ast
import runpy
import signal
import sys
from pathlib import Path

HERE = Path(__file__).parent


def known() -> dict[str, str]:
    """Benchmarks that can be run, with the first line of their docstring (nothing is imported)."""
    found = {}
    for path in sorted([*HERE.glob("*.py"), *HERE.glob("*/*.py")]):
        text = path.read_text(encoding="utf-8")
        if path.stem.startswith("_") or "__main__" not in text:
            continue
        summary = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
        name = path.stem if path.parent == HERE else f"{path.parent.name}.{path.stem}"
        found[name] = " ".join(summary.split())
    return found


def main(arguments: list[str]) -> int:
    benchmarks = known()
    if not arguments or arguments[0] in ("-h", "--help", "list"):
        width = max(map(len, benchmarks))
        print("Run one with: python -m benchmarks NAME [--help]\n")
        for name, summary in benchmarks.items():
            print(f"  {name:{width}}  {summary}")
        return 0
    name, *rest = arguments
    name = next((n for n in benchmarks if n.rsplit(".", 1)[-1] == name), name)
    if name not in benchmarks:
        print(
            f"There is no benchmark {name!r}; there are: {', '.join(benchmarks)}", file=sys.stderr
        )
        return 2
    sys.argv = [f"benchmarks {name}", *rest]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):  # a reader such as head may leave early
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))

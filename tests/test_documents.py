"""What the documents promise runs: the README's examples and the notebooks' list."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import measured

ROOT = Path(__file__).parent.parent
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


def test_the_readme_has_an_example_for_each_user() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_of_the_readme_run(number: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EXAMPLES[number]],
        cwd=tmp_path, capture_output=True, text=True, timeout=1_500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]


def test_the_page_of_figures_is_what_the_command_writes() -> None:
    assert measured.PAGE.read_text("utf-8") == measured.page()
    figures = yaml.safe_load(measured.FIGURES.read_text("utf-8"))
    for block in figures["blocks"]:
        for section in block.get("sections", ()):
            for row in section["rows"]:
                assert all(row[k] for k in ("quantity", "measured", "command", "at", "date")), row

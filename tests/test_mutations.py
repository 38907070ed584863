"""The command that changes operators: what it changes, what it leaves, and which tests it runs."""

import subprocess
import sys
from pathlib import Path

from benchmarks import mutations
from benchmarks.mutations import Site, changed, mirrors_of, sites

MODULE = b'''"""A module (1 + 1)."""
def share(a: int | None, b: "float") -> int | None:
    if not a or a <= -b:  # a comment with < and +
        raise ValueError("a" + str(a < b))
    total = "x" + "y"
    a += 1
    return (a -
            b) ** 2 if a is not None and 0 < a < 9 else f"{a + b}"
'''


def test_operators_that_compute_are_changed_and_no_others():
    found = list(sites("m.py", MODULE))
    told = sorted((s.line, s.before, s.after) for s in found)
    assert told == [
        (3, "-", ""), (3, "<=", "<"), (3, "not ", ""), (3, "or", "and"), (6, "+", "-"),
        (7, "-", "+"), (8, "**", "*"), (8, "<", "<="), (8, "<", "<="), (8, "and", "or"),
        (8, "is not", "is"),
    ]  # fmt: skip
    for site in found:
        assert MODULE[site.start : site.end].decode() == site.before
        text = changed(MODULE, site)
        compile(text, "m.py", "exec")
        assert len(text) == len(MODULE) - len(site.before) + len(site.after)


def test_the_mirrors_of_a_module_are_those_that_name_it():
    assert mirrors_of("molgen/chem/standardization.py")[0] == "tests/molgen/test_standardization.py"
    assert "tests/molgen/test_diversity.py" in mirrors_of("molgen/chem/diversity.py")
    for room in mutations.ROOMS:
        for path in (mutations.ROOT / room).glob("*.py"):
            assert path.name == "__init__.py" or mirrors_of(f"{room}/{path.name}"), path


def test_a_caught_and_a_surviving_change_in_a_copy(tmp_path, monkeypatch):
    """A package of one module and one test: the journal says which change the test sees."""
    for name, text in {
        "molgen/chem/m.py": "def add(a, b):\n    unused = a * b\n    return a + b\n",
        "tests/test_m.py": "from molgen.chem.m import add\ndef test():\n  assert add(2, 3) == 5\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    monkeypatch.setattr(mutations, "_imports", mutations._imports.__wrapped__)
    chosen = list(enumerate(mutations.every_site(("molgen/chem",))))
    assert [s.before for _, s in chosen] == ["*", "+"]
    journal = tmp_path / "journal.jsonl"
    rows = mutations.examine(chosen, journal, 0, None)
    assert [row["verdict"] for row in rows] == ["survived", "caught"]
    source = tmp_path / "molgen/chem/m.py"
    assert "a * b" in source.read_text() and "a + b" in source.read_text()
    again = mutations.examine(chosen, journal, 0, None)  # nothing is run twice
    assert again == rows and len(journal.read_text().splitlines()) == 2


def test_the_command_says_what_it_does():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "mutations", "--help"],
        cwd=Path(mutations.__file__).parent.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--journal" in done.stdout and isinstance(Site("a", 1, 0, 1, "+", "-"), tuple)

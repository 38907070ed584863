"""The two packages as a user meets them: names, imports, independence, no code in files."""

import configparser
import pkgutil
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import molgen
import trial_sim
import trial_sim.scenarios
import trial_sim.statistics

ROOT = Path(molgen.__file__).parent.parent
SOURCES = sorted([*ROOT.glob("molgen/**/*.py"), *ROOT.glob("trial_sim/**/*.py")])


@pytest.mark.parametrize("package", [molgen, trial_sim])
def test_every_public_name_resolves_and_is_documented(package) -> None:
    for name in package.__all__:
        assert getattr(package, name).__doc__ or name == "__version__", name


@pytest.mark.parametrize(
    "package",
    [
        package if room is None else getattr(package, room)
        for package in (molgen, trial_sim)
        for room in (None, *package._ROOMS)
        if room != "looks"
    ],
    ids=lambda p: p.__name__,
)
def test_no_module_shares_its_name_with_a_public_name(package) -> None:
    """Importing such a module would put it in the place of the function."""
    modules = {m.name for m in pkgutil.iter_modules(package.__path__)}
    assert modules & set(package.__all__) == set()


@pytest.mark.parametrize("package", [molgen, trial_sim], ids=lambda p: p.__name__)
def test_the_front_has_some_thirty_names_and_rooms_have_the_rest(package) -> None:
    """The README and the notebooks write names of the front; every name works flat and in its
    room, silently."""
    assert len(package._FRONT) <= 36 and set(package._FRONT) <= set(package._HOMES)
    assert set(dir(package)) == {*package.__all__, *package._ROOMS}
    short = {"molgen": "molgen", "trial_sim": "ts"}[package.__name__]
    texts = [ROOT / "README.md", *sorted((ROOT / "notebooks").glob("*.ipynb"))]
    told = {
        name
        for path in texts
        for name in re.findall(rf"\b{short}\.(\w+)", path.read_text(encoding="utf-8"))
        if name in package._HOMES
    }
    assert told - set(package._FRONT) == set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, home in package._HOMES.items():
            value, room = getattr(package, name), home.partition(".")[0]
            if room in package._ROOMS:
                assert name in dir(getattr(package, room))
                assert getattr(getattr(package, room), name) is value
            else:  # rooms without a name of their own in front keep what they have flat
                assert name in (*package._FRONT, "FittedTrial")


@pytest.mark.parametrize("package", ["molgen", "trial_sim"])
def test_importing_is_light(package: str) -> None:
    heavy = "('torch', 'rdkit', 'pandas', 'numpy', 'numba')"
    code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="load_model"):
        _ = molgen.load_modle
    with pytest.raises(AttributeError, match="group_sequential"):
        _ = trial_sim.group_sequental


FORBIDDEN = re.compile(
    r"\bimport pickle|\bpickle\.[a-z]|weights_only=False|yaml\.load\(|\beval\(|\bexec\("
    r"|allow_pickle=True|torch\.load\("
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_loading_never_executes_code(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if FORBIDDEN.search(line) and ".eval()" not in line]
    assert found == []


def layers_of(package: str) -> list[set[str]]:
    """The lines of the package's layers in .importlinter, from the ground up."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter", encoding="utf-8")
    lines = contract[f"importlinter:contract:{package}"]["layers"].split("\n")
    return [set(re.split(r"\s*[|:]\s*", line.strip())) for line in lines if line.strip()][::-1]


@pytest.mark.parametrize("package", [molgen, trial_sim], ids=lambda p: p.__name__)
def test_the_map_lists_the_rooms_in_the_order_of_the_layers(package) -> None:
    drawn = re.findall(r"^    (\w+)  ", package.__doc__, re.MULTILINE)
    rooms = {m.name for m in pkgutil.iter_modules(package.__path__)}
    assert set(drawn) == rooms
    height = {room: i for i, line in enumerate(layers_of(package.__name__)) for room in line}
    assert sorted(drawn, key=lambda room: height[room]) == drawn


@pytest.mark.parametrize("package", [molgen, trial_sim], ids=lambda p: p.__name__)
def test_a_room_has_at_most_the_allowed_entries(package) -> None:
    entries = [p for p in Path(package.__file__).parent.iterdir() if p.name != "__pycache__"]
    assert len(entries) <= 22, sorted(p.name for p in entries)


#: What both packages need and neither may import from the other: one text, but for the names.
TWINS = {
    "molgen/base/output_places.py": "trial_sim/base/output_places.py",
    "molgen/base/plain_yaml.py": "trial_sim/base/plain_yaml.py",
    "molgen/base/doctor.py": "trial_sim/base/doctor.py",
    "molgen/base/environment.py": "trial_sim/base/environment.py",
    "molgen/base/figures.py": "trial_sim/base/figures.py",
    "molgen/base/user_warnings.py": "trial_sim/base/user_warnings.py",
    "molgen/base/fronts.py": "trial_sim/base/fronts.py",
    "molgen/base/run_log.py": "trial_sim/base/run_log.py",
    "molgen/provenance/kit.py": "trial_sim/qualification/kit.py",
    "molgen/report/templates/qualification.html": "trial_sim/templates/qualification.html",
}


@pytest.mark.parametrize("one", TWINS)
def test_what_stands_in_both_packages_is_one_text(one: str) -> None:
    def text(path: str) -> str:
        content = (ROOT / path).read_text("utf-8")
        for own, shared in (
            ("molgen.provenance", "KIT"), ("trial_sim.qualification", "KIT"),
            ("molgen", "PACKAGE"), ("trial_sim", "PACKAGE"),
        ):  # fmt: skip
            content = content.replace(own, shared)
        return content

    assert text(one) == text(TWINS[one])

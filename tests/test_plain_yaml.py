"""The YAML and JSON that users write: YAML 1.2, and nothing that would be lost in silence."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import molgen.base.plain_yaml
import trial_sim.base.plain_yaml

READERS = [molgen.base.plain_yaml, trial_sim.base.plain_yaml]


@pytest.fixture(params=READERS, ids=["molgen", "trial_sim"])
def reader(request):
    return request.param


# the examples of YAML 1.2.2, section 10.3.2, and what YAML 1.1 would make of other words
@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("null", None), ("~", None), ("", None), ("Null", None), ("true", True), ("False", False),
        ("0", 0), ("0o7", 7), ("0x3A", 58), ("-19", -19), ("0.", 0.0), ("-0.0", -0.0), (".5", 0.5),
        ("+12e03", 12000.0), ("-2E+05", -200000.0), (".inf", math.inf), ("-.Inf", -math.inf),
        ("+.INF", math.inf),
        # YAML 1.1: 64, False, True, False, a date, 765, 1000, a merge
        ("0100", 100), ("no", "no"), ("Yes", "Yes"), ("off", "off"), ("2024-01-31", "2024-01-31"),
        ("12:45", "12:45"), ("1_000", "1_000"), ("0b11", "0b11"), ("=", "="),
        # YAML 1.1: texts
        ("1e-3", 0.001), ("1E5", 100000.0), ("12 months", "12 months"),
    ],
)  # fmt: skip
def test_words_mean_what_yaml_1_2_says(reader, written, value):
    read = reader.read_plain(f"a: {written}\n")["a"]
    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_read(reader):
    assert math.isnan(reader.read_plain("a: .NaN")["a"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n: 100\nseed: 1\nn: 200\n", r"the key 'n' is given twice, on line 1 and on line 3"),
        ("a:\n  b: 1\n  b: 1\n", r"the key 'b' is given twice, on line 2 and on line 3"),
        ("- {x: 1, x: 2}\n", r"the key 'x' is given twice"),
        ("'a': 1\na: 2\n", r"the key 'a' is given twice"),
        ("? [a]\n: 1\n", r"line 1: a key must be a text or a number"),
        ("a: &x 1\nb: *x\n", "aliases"),
        ("a: !!python/object:os.system x\n", "the tag .* is not read"),
        ("a: !!timestamp 2024-01-01\n", "the tag .* is not read"),
        ("a: " + "9" * 5000, "digits"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
    ],
)
def test_what_would_be_lost_or_is_no_plain_value_is_refused(reader, text, message):
    with pytest.raises(yaml.YAMLError, match=message):
        reader.read_plain(text)


def test_json_with_a_key_twice_is_refused(reader):
    assert reader.read_plain_json('{"a": {"b": [1, null]}}') == {"a": {"b": [1, None]}}
    with pytest.raises(ValueError, match="the key 'b' is given twice"):
        reader.read_plain_json('{"a": {"b": 1, "b": 2}}')


WORDS = st.sampled_from(
    ["no", "yes", "on", "1e-3", "0100", "0o17", "0x1F", "1_000", "2024-01-31", "12:30", "~", "",
     "null", ".5", "1.", "+1", "=", "<<", "true", "a: b", "- x", "# y", "*x", "&x", "µ", ".inf"]
)  # fmt: skip
TEXTS = WORDS | st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_alike_by_yaml_1_2_and_1_1(values):
    for reader in READERS:
        text = reader.write_plain(values)
        assert reader.read_plain(text) == values
    assert yaml.safe_load(text) == values


def test_both_packages_read_alike():
    first, second = (Path(module.__file__).read_text("utf-8") for module in READERS)
    assert first == second


def test_run_files_with_a_key_twice_are_refused_by_name(tmp_path):
    import molgen
    import trial_sim as ts

    (tmp_path / "run.yaml").write_text("n: 100\nn: 200\n")
    with pytest.raises(ValueError, match="'n' is given twice"):
        molgen.run_batch(tmp_path / "run.yaml", tmp_path / "out")
    (tmp_path / "goal.json").write_text('{"components": ["maximise qed"], "components": []}')
    with pytest.raises(ValueError, match="'components' is given twice"):
        molgen.Objective.load(tmp_path / "goal.json")
    with pytest.raises(ValueError, match="'rate' is given twice"):
        ts.Dropout.from_yaml("type: Dropout\nrate: 1\nrate: 2\n")
    with pytest.raises(ValueError, match="'rate' is given twice"):
        ts.Dropout.from_json('{"rate": 1, "rate": 2}')


def test_arms_called_no_and_yes_stay_texts():
    import trial_sim as ts

    text = "type: Dropout\nrate: 0.01\nby_arm:\n  no: 0.01\n  yes: 1e-3\n"
    assert ts.Dropout.from_yaml(text).by_arm == {"no": 0.01, "yes": 0.001}


def test_both_programs_say_their_version():
    from typer.testing import CliRunner

    import trial_sim
    from trial_sim.cli import app

    outcome = CliRunner().invoke(app, ["--version"])
    assert outcome.output == f"trial-sim {trial_sim.__version__}\n"

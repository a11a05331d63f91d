"""Recipes as an attacker or a tired person would write them."""

import copy
import math
import os
import re
import sys

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nft_keras.cli import report
from nft_keras.experiments.recipe.reading import load_recipe
from tests.experiments.recipe.test_recipe import GOOD, RECIPES
from tests.experiments.recipe.test_variants import RECIPE as VARIANTS
from tests.refuse.conftest import COUNTS, command, tree

BASES = [GOOD, VARIANTS, *(path.read_text(encoding="utf-8") for path in RECIPES)]
NUMBERS = st.one_of(
    st.integers(-3, 0),
    st.integers(10**6, 10**300),
    st.just(10**400),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 1.5]),
)
WORDS = st.one_of(st.text(max_size=8), st.sampled_from(["", "no", "1e-3", "../..", "/etc/passwd", "~", "а", "\ud7ff"]))
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.dates(), st.binary(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=2)),
    max_leaves=4,
)
SNIPPETS = st.sampled_from(
    [
        "\t", ": ", "- ", "[", "}", '"', "'", "|", "&a ", "*a", "!!python/name:os.system ", "!!int ", "!!set ",
        "!!bool ", "!!timestamp ", "!!binary ",
        "<<: ", "? ", "%YAML 9\n", "---\n", "...\n", "\n", "#", "\x00", "\x1b", "\ufeff",
        "2001-99-99", "0x", "{" * 2000, "[" * 2000, "9" * 5000, "\u202e", "é" * 50,
    ]
)  # fmt: skip


def places(value, path=()):
    """The paths of everything in a value of mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, below in inner for place in places(below, (*path, key))]


@st.composite
def spoilt_values(draw):
    """A recipe in which keys were renamed, left out, or have values of another type or far out of range."""
    recipe = yaml.safe_load(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 2))):
        *path, key = draw(st.sampled_from(places(recipe)))
        holder = recipe
        for part in path:
            holder = holder[part]
        value = copy.deepcopy(holder[key])
        how = draw(st.sampled_from(["replace", "replace", "replace", "rename", "drop", "list", "mapping", "text"]))
        if how == "rename" and isinstance(holder, dict):
            holder[draw(WORDS)] = holder.pop(key)
        elif how == "drop":
            del holder[key]
        else:
            ready = {"list": [value], "mapping": {draw(WORDS): value}, "text": str(value)}
            holder[key] = ready[how] if how in ready else draw(JUNK)
        if not places(recipe):
            break
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=draw(st.booleans())).encode()


@st.composite
def spoilt_text(draw):
    """A recipe that was cut, written in another encoding, or has something in its text that does not belong there."""
    text = draw(st.sampled_from(BASES))
    at = draw(st.integers(0, len(text) - 1))
    lines = text.splitlines(keepends=True)
    twice = draw(st.integers(0, len(lines) - 1))
    return draw(
        st.sampled_from(
            [
                (text[:at] + draw(SNIPPETS) + text[at:]).encode(),
                text[:at].encode(),
                text.encode()[:at] + draw(st.binary(min_size=1, max_size=4)) + text.encode()[at:],
                "".join([*lines[:twice], lines[twice], *lines[twice:]]).encode(),
                text.encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-7"]))),
            ]
        )
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recipes")


def test_a_recipe_that_was_broken_at_random_is_refused_or_a_recipe(folder):
    path, refused = folder / "recipe.yaml", set()
    path.touch()
    there = set(tree(folder))

    @settings(max_examples=500, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(spoilt_values(), spoilt_text(), st.binary(max_size=200)))
    def is_answered(content):
        path.write_bytes(content)
        code, out, lines = command([path, "--dry-run", "--out", folder / "out"], "recipes")
        if code == 2:
            refused.add(content)
            assert 1 <= len(lines) <= 2 and str(path) in lines[0] and not out
        else:
            assert code == 0 and out and not lines
        assert set(tree(folder)) == there

    before = COUNTS["recipes"]
    is_answered()
    COUNTS["recipes"] = before + len(refused)
    assert len(refused) >= 200


def good_with(old, new):
    assert old in GOOD
    return GOOD.replace(old, new, 1).encode("utf-8", "surrogatepass")


METHODS = GOOD[GOOD.index("methods:") : GOOD.index("training:")]
OWN = "{name: digits-back-image, label_noise: 0.1}"
BY_HAND = {
    "nested lists": (b"a: " + b"[" * 49_000 + b"]" * 49_000, ":1: nested more than 20 levels"),
    "nested mappings": (b"{a: " * 3000 + b"}" * 3000, ":1: nested more than 20 levels"),
    "zeros": (bytes(200_000), "has more than 100,000 characters"),
    "a book": (b"# comment\n" * 20_000 + GOOD.encode(), "has more than 100,000 characters"),
    "5000 digits": (good_with("epochs: 10", "epochs: " + "9" * 5000), ":9: not valid YAML: a number of 5,000 char"),
    "hexadecimal": (good_with("epochs: 10", "epochs: 0x" + "f" * 5000), ":9: not valid YAML: a number of 5,002 char"),
    "negative hexadecimal": (good_with("[0, 1]", "[-0x" + "f" * 5000 + "]"), ":10: not valid YAML: a number of 5,003"),
    "octal": (good_with("epochs: 10", "epochs: 0" + "7" * 6000), ":9: not valid YAML: a number of 6,001 characters"),
    "binary": (good_with("epochs: 10", "epochs: 0b" + "1" * 20_000), ":9: not valid YAML: a number of 20,002 char"),
    "sexagesimal": (good_with("epochs: 10", "epochs: 1" + ":59" * 3000), ":9: not valid YAML: a number of 9,001 char"),
    "sexagesimal fraction": (good_with("0.001", "1" + ":59" * 3000 + ".5"), ":9: not valid YAML: a number of 9,003 ch"),
    "sexagesimal beyond floats": (good_with("0.001", "1" + ":59" * 300 + ".5"), ":9: not valid YAML: '1:.* no float"),
    "900 hexadecimal digits": (
        good_with("epochs: 10", "epochs: 0x" + "f" * 900),
        r":9: training.epochs: must be <= 4294967295, got \d{80}\.\.\.$",
    ),
    "a long name": (good_with("seeds: [0, 1]", "name: " + "a" * 300), ":10: name: should be letters, .* 100 at most"),
    "a name of 120 bytes": (good_with("seeds: [0, 1]", "name: " + "é" * 60), ":10: name: should be letters"),
    "a long method": (good_with("  ct:\n", "  " + "a" * 300 + ": {is: ct}\n"), ":4: methods.a+: should be .* 100 at"),
    "a long variation": (
        good_with("seeds: [0, 1]", f"vary: {{dataset.label: [{'a' * 300}]}}"),
        ":10: vary.dataset.label: should be .* 100 characters",
    ),
    "steps beyond int32": (
        good_with("  ct:\n", "  ft: {step: 1, plan: {simplification_ratio: 0.5, max_steps: 2147483648}}\n"),
        ":4: methods.ft.plan.max_steps: must be >= 0 and <= 2147483647, got 2147483648",
    ),
    "steps at once beyond int32": (
        good_with("epochs: 10", "steps_per_execution: 10000000000, epochs: 10"),
        ":9: training.steps_per_execution: must be >= 1 and <= 2147483647",
    ),
    "a number of 400 digits": (good_with("epochs: 10", "epochs: " + "9" * 400), ":9: training.epochs: must be <= "),
    "a rate of 400 digits": (good_with("rate: 0.001", "rate: " + "9" * 400), ":9: training.learning_rate: should be "),
    "a seed too large": (good_with("[0, 1]", "[0, 4294967296]"), ":10: seeds.1: must be <= 4294967295, got 4294967296"),
    "a day that is none": (good_with("seeds: [0, 1]", "name: 2001-99-99"), ":10: not valid YAML: .* is no timestamp"),
    "no int": (good_with("epochs: 10", "epochs: !!int ten"), ":9: not valid YAML: 'ten' is no int"),
    "no float": (good_with("epochs: 10", "epochs: !!float ten"), ":9: not valid YAML: 'ten' is no float"),
    "no bool": (good_with("epochs: 10", "epochs: !!bool ten"), ":9: not valid YAML: 'ten' is no bool"),
    "no timestamp": (good_with("epochs: 10", "epochs: !!timestamp ten"), ":9: not valid YAML: 'ten' is no timestamp"),
    "an object": (good_with("epochs: 10", "epochs: !!python/object/new:os.system [echo]"), ":9: not valid YAML"),
    "a module": (good_with("epochs: 10", "epochs: !!python/module:this"), ":9: not valid YAML"),
    "laughs": (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", ":2: .a: aliases are not allowed"),
    "half a character": (good_with(OWN, '{name: csv, path: "\\ud800"}'), ":1: dataset.path: should be text, got half"),
    "an escape in a key": (GOOD.encode() + b'"\\e[31m": 3\n', r":16: \\x1b\[31m: unknown key"),
    "a line break in a key": (GOOD.encode() + b'"a\\nb": 3\n', ":16: a b: unknown key"),
    "no methods": (good_with(METHODS, "methods: {}\n"), ": methods: should name at least one of ct, eef, ft, nft"),
    "an empty list of methods": (good_with(METHODS, "methods: []\n"), ": methods: should name at least one of ct"),
    "a variant that climbs": (good_with("  ct:\n", "  ../../up: {is: ct}\n"), ":4: methods.../../up: should be"),
    "a variant without a name": (good_with("  ct:\n", "  '': {is: ct}\n"), ":4: methods.: should be letters, digits"),
    "a variant of nothing": (good_with("  ct:\n", "  a: {is: []}\n"), r":4: methods.a.is: unknown method \[\]; al"),
    "variants in a circle": (good_with("  ct:\n", "  a: {is: b}\n  b: {is: a}\n"), ":5: methods.b.is: goes in a circ"),
    "a method of another name": (good_with("  ct:\n", "  ct: {is: nft}\n"), ":4: methods.ct.is: ct is a method itself"),
    "no name of a law": (good_with("ratio: 0.5}", 'ratio: 0.5, law: "..."}'), ":6: methods.nft.plan.law: unknown la"),
    "a law that starts a program": (good_with("ratio: 0.5}", "ratio: 0.5, law: __main__}"), "unknown law '__main__'"),
    "a law that is a program": (good_with("ratio: 0.5}", "ratio: 0.5, law: os.system}"), ":6: .* without --allow-code"),
    "a law that is no path": (good_with("ratio: 0.5}", "ratio: 0.5, law: a b.c}"), ":6: .*law: unknown law 'a b.c'"),
    "a float of channels": (
        good_with(OWN, "{name: image-folder, path: a, channels: 1.0}"),
        ":1: dataset.channels: unknown value 1.0",
    ),
    "an image of a terabyte": (
        good_with(OWN, "{name: image-folder, path: a, image_size: 1000000}"),
        ":1: dataset.image_size: must be >= 1 and <= 4096, got 1000000",
    ),
    "noise of a thousand percent": (good_with("digits-back-image", "cifar10-n1000"), ":1: dataset.name: unknown d"),
    "noise of 5000 digits": (good_with("digits-back-image", "cifar10-n" + "9" * 5000), ":1: dataset.name: unknown d"),
    "a name that climbs": (good_with("seeds: [0, 1]", "name: a/../../b"), ":10: name: should be letters"),
    "a variation that climbs": (
        good_with("seeds: [0, 1]", "vary: {dataset.path: [/etc/passwd]}"),
        ":10: vary.dataset.path: should be a list",
    ),
    "utf-16": (GOOD.encode("utf-16"), "cannot be read"),
    "latin-1": (GOOD.encode() + "# é".encode("latin-1"), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BY_HAND)
def test_a_recipe_made_bad_by_hand_is_refused_with_its_file_and_cause(tmp_path, kind):
    content, message = BY_HAND[kind]
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    before = tree(tmp_path)
    for flags in (["--dry-run"], []):
        code, out, lines = command([path, "--out", tmp_path / "out", *flags], "recipes" if flags else "again")
        assert code == 2 and not out and len(lines) == 1
        assert str(path) in lines[0]
        assert re.search(message, lines[0]), lines[0]
    assert tree(tmp_path) == before


@pytest.mark.parametrize("allow", [False, True])
def test_a_law_by_its_path_is_imported_with_leave_alone(tmp_path, monkeypatch, allow):
    code = f"open({str(tmp_path / 'ran')!r}, 'w').close()\nlaw = lambda progress: progress\n"
    (tmp_path / "stranger.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    path = tmp_path / "recipe.yaml"
    path.write_bytes(good_with("ratio: 0.5}", "ratio: 0.5, law: stranger.law}"))
    code, _, lines = command([path, "--dry-run", *["--allow-code"] * allow], "recipes")
    assert (tmp_path / "ran").exists() == allow
    assert (code, lines) == (0, []) if allow else code == 2 and "'stranger.law' is code to import" in lines[0]


@pytest.mark.parametrize(
    "law, message",
    [
        ("os.system", "must take a progress in .0, 1., it raises TypeError"),
        ("builtins.print", "must stay in .0, 1., got None at progress 0.0"),
        ("math.exp", r"must stay in .0, 1., got 1.2\d+ at progress 0.25"),
        ("math.log", "must take a progress in .0, 1., it raises ValueError"),
        ("sys.exit", "must take a progress in .0, 1., it raises SystemExit"),
        ("os.path.join", "must take a progress in .0, 1., it raises TypeError"),
        ("math.pi", "must be a function of one argument"),
        ("os.replace", "must be a function of one argument"),
        ("nowhere.at_all", "unknown law .* it cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_is_no_law_is_refused_with_leave_too(tmp_path, law, message):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(good_with("ratio: 0.5}", f"ratio: 0.5, law: {law}}}"))
    code, out, lines = command([path, "--dry-run", "--allow-code"], "recipes")
    assert code == 2 and len(lines) == 1 and ":6: methods.nft.plan.law: " in lines[0] and re.search(message, lines[0])


CONTRADICTIONS = {
    "label: y, drop: [y]": "column 'y' cannot be both label and drop",
    "label: y, text: y": "column 'y' cannot be both label and text",
    "text: a, columns: {a: number}": "column 'a' cannot be both text and columns",
    "train: t.csv": "needs the option 'path', or 'train' .*; got both",
    "valid: t.csv": "valid and test go with train, not with path",
    "valid_fraction: 0.6, test_fraction: 0.6": "valid_fraction 0.6 and test_fraction 0.6 leave no example to train on",
}


@pytest.mark.parametrize("options", CONTRADICTIONS)
def test_options_of_a_table_that_contradict_each_other_are_refused_without_reading_it(tmp_path, options):
    (tmp_path / "t.csv").write_bytes(b"\0")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"dataset: {{name: csv, path: t.csv, {options}}}\nclassifiers: [fc-a]\n{METHODS}training: {{epochs: 3}}\n"
    )
    code, out, lines = command([path, "--dry-run", "--data-dir", tmp_path], "recipes")
    assert code == 2 and not out and len(lines) == 1 and re.search(CONTRADICTIONS[options], lines[0]), lines


def test_a_folder_is_no_table_and_a_test_part_is_not_cut_into_folds(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\0")
    for dataset, folds, message in (
        ("path: .", "", "is a folder; data set csv takes a file"),
        ("train: t.csv, test: t.csv", "folds: 3", "it is not cut into folds"),
        ("path: t.csv", "folds: 101", "folds: must be <= 100, got 101"),
    ):
        path = tmp_path / "recipe.yaml"
        path.write_text(
            f"dataset: {{name: csv, {dataset}}}\nclassifiers: [fc-a]\n{METHODS}training: {{epochs: 3}}\n{folds}\n"
        )
        code, _, lines = command([path, "--dry-run", "--data-dir", tmp_path], "recipes")
        assert code == 2 and len(lines) == 1 and message in lines[0], lines


def test_a_pipe_is_no_recipe_and_nobody_waits_for_one(tmp_path):
    os.mkfifo(tmp_path / "recipe.yaml")
    code, _, lines = command([tmp_path / "recipe.yaml", "--dry-run"], "recipes")
    message = "is no file; a recipe is read several times: save it as one"
    assert code == 2 and lines == [f"{tmp_path}/recipe.yaml: {message}"]


@pytest.mark.parametrize("assignment", ["seeds=[3]\n", "seeds=[0]\nname: x", "seeds=[3]\r", "a\u2028b=3"])
def test_a_line_break_in_set_does_not_get_into_the_recipe_that_is_kept(tmp_path, assignment):
    (tmp_path / "recipe.yaml").write_text(GOOD)
    code, out, lines = command([tmp_path / "recipe.yaml", "--dry-run", "--set", assignment], "recipes")
    assert code == 2 and len(lines) == 1 and "should be one line, KEY=VALUE" in lines[0]


NO_VALUES = ("[" * 3000, "!!int x", "!!bool x", "!!python/name:os.system", "\x00")
LONG_NUMBERS = ("9" * 5000, "0x" + "f" * 5000, "1" + ":59" * 3000, "1" + ":59" * 3000 + ".5")


@pytest.mark.parametrize("value", NO_VALUES + LONG_NUMBERS, ids=len)
def test_a_value_that_yaml_stumbles_over_is_refused_after_set(tmp_path, value):
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD)
    code, out, lines = command([path, "--dry-run", "--set", f"training.epochs={value}"], "recipes")
    assert code == 2 and not out and len(lines) == 1 and lines[0].startswith("--set training.epochs=")
    assert len(lines[0]) < 300


def test_a_folder_or_a_loop_is_no_recipe(tmp_path):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for path, cause in ((tmp_path, "Is a directory"), (tmp_path / "loop.yaml", "Too many levels of symbolic links")):
        code, _, lines = command([path, "--dry-run"], "recipes")
        assert code == 2 and lines == [f"{path}: cannot be read: {cause}"]


@pytest.mark.parametrize("kind", ["nested lists", "nested mappings", "zeros", "an alias bomb", "no mapping"])
def test_a_hostile_config_in_the_output_folder_is_told_in_one_line(tmp_path, kind):
    levels = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + levels
    content = {"an alias bomb": bomb.encode(), "no mapping": b"- 1\n"}.get(kind) or BY_HAND[kind][0]
    (tmp_path / "recipe.yaml").write_text(GOOD)
    (trial, *_) = load_recipe(tmp_path / "recipe.yaml")
    config = tmp_path / "out" / trial.folder / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_bytes(content)
    (config.parent / "result.json").write_text("{}")
    before = tree(tmp_path)
    code, out, lines = command([tmp_path / "recipe.yaml", "--out", tmp_path / "out"], "folders")
    assert code == 2 and not out and len(lines) == 1
    assert lines[0].startswith(str(config)) and lines[0].endswith("or discard it with --fresh")
    code, out, lines = command([tmp_path / "out"], "folders", report.main)
    assert code == 2 and not out and len(lines) == 1 and str(config) in lines[0]
    assert tree(tmp_path) == before

"""Entry points that cannot be used are told, and stand in the way of nothing else."""

import math

import pytest

from nft_keras._registry import RegistrationError, Registry, imported


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a package with one entry point of the group "numbers"."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(package, name, program="", object="number"):
        (tmp_path / f"{package}.py").write_text(program)
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[numbers]\n{name} = {package}:{object}\n")

    return install


def numbers():
    return Registry("numbers", int, {"one": 1})


def test_an_entry_point_is_an_entry_after_ours(install):
    install("numbers_two", "two", "number = 2")
    assert dict(numbers()) == {"one": 1, "two": 2} and list(numbers()) == ["one", "two"] and len(numbers()) == 2
    assert "two" in numbers() and "three" not in numbers() and numbers().get("three") is None


def test_nothing_is_imported_before_it_is_asked_for(install):
    install("numbers_broken", "two", "raise RuntimeError('broken')")
    registry = numbers()
    assert registry["one"] == 1 and list(registry) == ["one", "two"] and "two" in registry
    with pytest.raises(RegistrationError) as error:
        registry["two"]
    assert str(error.value) == (
        "'two' in numbers, numbers_broken:number of numbers_broken: cannot be imported: RuntimeError: broken"
    )


def test_an_entry_of_another_class_is_refused(install):
    install("numbers_text", "two", "number = 'two'")
    with pytest.raises(RegistrationError, match="of numbers_text: should be a int, got a str"):
        numbers()["two"]


def test_a_name_that_is_ours_is_refused_not_silently_one_of_the_two(install):
    install("numbers_one", "one", "number = -1")
    with pytest.raises(RegistrationError, match="'one' in numbers is declared by nft_keras and numbers_one; rename"):
        numbers()["one"]


def test_a_name_that_two_packages_declare_is_refused(install):
    for package in ("numbers_a", "numbers_b"):
        install(package, "two", "number = 2")
    with pytest.raises(RegistrationError, match="declared by numbers_[ab] and numbers_[ab]; rename"):
        numbers()["two"]


def test_a_program_adds_an_entry_for_itself():
    registry = numbers()
    registry["two"] = 2
    assert dict(registry) == {"one": 1, "two": 2}
    del registry["two"]
    assert "two" not in registry


@pytest.mark.parametrize(
    "program, answer",
    [
        (
            "from nft_keras.experiments import methods\nnumber = methods.Method(int, 'a:b', 'a:c')",
            "dataclass with a plan",
        ),
        (
            "from nft_keras.experiments.classifiers import Classifier\nnumber = Classifier('a:b', takes='sounds')",
            "takes must be 'images', 'vectors' or None, got 'sounds'",
        ),
    ],
)
def test_what_a_recipe_cannot_read_is_refused_where_it_is_declared(install, program, answer):
    install("numbers_wrong", "two", program)
    with pytest.raises(RegistrationError, match=answer):
        numbers()["two"]


def test_the_list_of_data_sets_shows_the_others_beside_one_that_is_broken(install, tmp_path, monkeypatch, capsys):
    from nft_keras import data
    from nft_keras.cli import data as cli

    install("numbers_broken", "two", "raise RuntimeError('broken')")
    monkeypatch.setattr(cli, "SPECS", Registry("numbers", data.Spec, {"two-moons": data.SPECS["two-moons"]}))
    assert cli.main(["list", "--data-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "two-moons", "two"] and "RuntimeError: broken" in lines[2]


@pytest.mark.parametrize("path", ["nowhere.at.all:two", "math:two", "math"])
def test_a_path_in_an_entry_that_leads_nowhere_is_named(path):
    from nft_keras import data

    with pytest.raises(RegistrationError, match=f"^'{path}', which should be module:name, cannot be imported: "):
        assert data.Spec(path, "a data set").options
    assert imported("math:sqrt") is math.sqrt

"""Files that are damaged, disks that are full, links: what a trial makes of them."""

import contextlib
import errno
import json
import os
import shutil
import subprocess

import pytest
import yaml

from nft_keras._manifest import FILE, DamagedError, check_listed, read, seal, unseal
from nft_keras.cli import predict
from nft_keras.experiments import files, runs
from nft_keras.experiments.recipe.schema import RecipeError
from tests.experiments.train import damage
from tests.experiments.train.damage import METHOD, PAGE, Trials, shown
from tests.experiments.train.faults import made_quick


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch, made_quick(monkeypatch):
        yield Trials(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def out(trials, request):
    """A copy of the trials' output folder, and the trial's below it."""
    shutil.rmtree(trials.folder / "damaged", ignore_errors=True)
    copy = shutil.copytree(trials.folder / request.param, trials.folder / "damaged")
    return copy, copy / trials.trial.folder


finished = pytest.mark.parametrize("out", ["finished"], indirect=True)
not_finished = pytest.mark.parametrize("out", ["not finished"], indirect=True)


@pytest.mark.slow
@pytest.mark.xdist_group("damage")
def test_whatever_file_of_a_trial_is_damaged_it_is_told_or_mended_as_the_docs_say(tmp_path, monkeypatch):
    with made_quick(monkeypatch):
        anew = damage.tables(tmp_path)
    assert anew == shown(PAGE)[0], "run python -m tests.experiments.train.damage"


@pytest.mark.xdist_group("damage")
@finished
@pytest.mark.parametrize("name", ["classifier.keras", "preprocessing.json"])
@pytest.mark.parametrize("how", ["zeroed", "cut", "flipped"])
def test_nothing_is_predicted_by_a_damaged_file(out, capsys, name, how):
    _, folder = out
    table = folder / "points.csv"
    table.write_text("a,b\n0,1\n1,2\n")
    (folder / name).write_bytes(damage.DAMAGES[how]((folder / name).read_bytes()))
    assert predict.main([str(folder), str(table)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{folder / name} is damaged: ") and "--fresh" in said and said.count("\n") == 1


@pytest.mark.xdist_group("damage")
@finished
def test_damage_to_one_trial_stops_no_other_and_fresh_mends_it(trials, out, capsys):
    out, folder = out
    (folder / "history.csv").write_bytes(b"")
    code, said = trials.command(out, "--methods", "ct", METHOD)
    assert code == 1 and said.count("\n") == 2 and f"{folder / 'history.csv'} is damaged: it has 0 bytes" in said
    assert (out / "faults" / "fc-a" / "ct" / "seed-0" / "result.json").exists()
    with pytest.raises(RecipeError, match="history.csv is damaged"):
        runs.Run(folder, {}, {}).rows()
    assert trials.command(out, "--fresh")[0] == 0 and not trials.command(out)[1]


@pytest.mark.xdist_group("damage")
@finished
def test_a_trial_of_a_version_without_a_manifest_is_taken_as_it_is(trials, out):
    out, folder = out
    (folder / FILE).unlink()
    before = (folder / "result.json").stat().st_mtime_ns
    assert trials.command(out) == (0, "") and (folder / "result.json").stat().st_mtime_ns == before


@pytest.mark.xdist_group("damage")
@not_finished
def test_a_trial_of_a_version_without_digests_goes_on_after_its_last_epoch(trials, out):
    out, folder = out
    state = unseal(folder / "backup" / "state.json")
    for key in ("files", "history", "config"):
        del state[key]
    (folder / "backup" / "state.json").write_text(json.dumps(state))
    for name in ("before.json", "epoch-1.weights.h5"):
        (folder / "backup" / name).unlink()
    assert trials.command(out)[0] == 0
    trials.compare(folder)


@pytest.mark.xdist_group("damage")
@not_finished
@pytest.mark.parametrize("config", ["there", "gone"])
def test_a_checkpoint_is_refused_by_other_settings_whatever_config_says(trials, out, config):
    out, folder = out
    others = ("--set", "training.learning_rate=0.5")
    (folder / "config.yaml").unlink()
    if config == "there":
        there = {**trials.trial.config(), "training": {**trials.trial.config()["training"], "learning_rate": 0.5}}
        (folder / "config.yaml").write_text(yaml.safe_dump(there))
    code, said = trials.command(out, *others)
    assert code == 2 and "(training.learning_rate: 0.01 there, 0.5 now)" in said
    assert trials.command(out)[0] == 0
    trials.compare(folder)


@pytest.mark.xdist_group("damage")
@not_finished
def test_fresh_begins_anew_where_the_folder_of_a_trial_is_a_link(trials, out):
    out, folder = out
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert trials.command(out, "--fresh", "--set", "training.epochs=2")[0] == 0
    result = json.loads((folder / "result.json").read_text())
    assert result["epochs"] == 2 and not folder.is_symlink() and (elsewhere / "backup" / "state.json").exists()
    assert [row["epoch"] for row in runs.Run(folder, {}, {}).rows()] == ["1", "2"]


@pytest.mark.xdist_group("damage")
@not_finished
def test_what_killed_processes_left_is_gone_when_the_same_command_has_gone_on(trials, out):
    out, folder = out
    left = [folder / ".nft-history-abcd1234.csv", folder / "backup" / ".nft-state-abcd1234.json"]
    left += [folder / "test" / ".nft-classes-abcd1234.csv", out / "faults" / ".nft-report-abcd1234.md"]
    left += [folder.with_name(".nft-seed-0-abcd1234") / "gone" / "history.csv", folder / "backup" / "best-9.keras"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    mine = folder / ".mine"
    mine.touch()
    assert trials.command(out)[0] == 0
    assert not [path for path in left if path.exists()] and not list(out.rglob(".nft-*")) and mine.exists()


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """A file system of so many kilobytes at a folder; skips the test where none can be mounted."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}k", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.xdist_group("damage")
@pytest.mark.parametrize("kilobytes", [16, 32, 48, 64, 96, 128, 192])
def test_on_a_disk_that_is_too_small_it_is_told_and_the_same_command_goes_on_when_there_is_room(
    trials, tmp_path, kilobytes
):
    with small_disk(tmp_path / "disk", kilobytes) as resized:
        out = tmp_path / "disk" / "out"
        code, said = trials.command(out)
        assert code in (1, 2) and "No space left on device" in said and said.count("\n") <= 2, said
        resized(4000)
        assert trials.command(out)[0] == 0
        trials.compare(out / trials.trial.folder)


def test_too_little_room_is_told_with_how_much_is_needed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device \(0\.012 MB to write, [\d,.]+ MB free\)") as error:
        files.write_whole(tmp_path / "a" / "file", bytes(12345))
    assert error.value.filename == str(tmp_path / "a" / "file") and not list((tmp_path / "a").iterdir())


def test_a_sealed_file_tells_any_damage(tmp_path):
    path, content = tmp_path / "sealed.json", seal({"files": {}, "a": [1.5, None]})
    path.write_bytes(content)
    assert unseal(path) == {"files": {}, "a": [1.5, None]}
    unharmed = []
    for at in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            with contextlib.suppress(DamagedError):
                unharmed.append(unseal(path))
        path.write_bytes(content[:at])
        with pytest.raises(DamagedError):
            unseal(path)
    assert all(value == {"files": {}, "a": [1.5, None]} for value in unharmed)


@pytest.mark.parametrize("files", [[], "x", None, {"a": 1}, {"a": {"bytes": 1}}], ids=str)
def test_a_manifest_that_is_sealed_and_lists_no_files_is_damaged(tmp_path, files):
    (tmp_path / FILE).write_bytes(seal({"files": files}))
    with pytest.raises(DamagedError, match="files.json is damaged: it lists no files; train this trial again"):
        read(tmp_path)


def test_a_file_that_no_manifest_lists_is_taken_as_it_is(tmp_path):
    (tmp_path / "a").write_text("a")
    check_listed(tmp_path, "a", "not there")
    (tmp_path / FILE).write_bytes(seal({"files": {}}))
    check_listed(tmp_path, "a")

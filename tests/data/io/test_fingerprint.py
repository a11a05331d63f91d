import dataclasses
import os

import numpy as np
import pytest
import scipy.sparse

from nft_keras.data import Dataset, Part
from nft_keras.data.io import fingerprint as module
from nft_keras.data.io.fingerprint import differ, fingerprint, of_examples


@pytest.fixture
def folder(tmp_path):
    """Pictures in two classes."""
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "pictures"


def changed(folder, change):
    """Whether a change to a folder changes its fingerprint."""
    before = fingerprint([folder])
    change()
    return fingerprint([folder]) != before


@pytest.mark.parametrize("many", [False, True])
def test_files_that_change_come_or_go_or_get_another_name_are_noticed(folder, monkeypatch, many):
    monkeypatch.setattr(module, "_MOST_FILES", 1 if many else 100)
    assert fingerprint([folder]).partition(":")[0] == ("size-and-time" if many else "content")
    assert not changed(folder, lambda: None)
    assert changed(folder, lambda: (folder / "a" / "1.png").write_bytes(b"a/2.png and more"))
    assert changed(folder, lambda: (folder / "a" / "1.png").rename(folder / "b" / "2.png"))
    assert changed(folder, lambda: (folder / "b" / "2.png").unlink())
    assert not changed(folder, lambda: (folder / ".DS_Store").write_bytes(b"of a file manager"))


def test_a_few_files_are_known_by_their_content_and_many_bytes_by_size_and_time(folder, monkeypatch):
    file = folder / "a" / "1.png"
    assert not changed(folder, lambda: os.utime(file, (1, 1)))
    assert changed(folder, lambda: file.write_bytes(b"A/1.png"))
    monkeypatch.setattr(module, "_MOST_BYTES", 3)
    monkeypatch.setattr(module.Path, "read_bytes", None)  # nothing is read
    assert changed(folder, lambda: os.utime(file, (2, 2)))


def test_a_file_is_known_wherever_it_lies_and_one_that_is_not_there_is_unknown(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).write_text("a,y\n1,2\n")
    assert fingerprint([tmp_path / "one"]) == fingerprint([tmp_path / "other"])
    assert fingerprint([tmp_path / "none"]) is None


def test_what_systems_leave_beside_files_and_links_that_lead_nowhere_count_for_nothing(folder):
    before = fingerprint([folder])
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (folder / name).write_text(name)
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "a.png").write_text("")
    (folder / "gone").symlink_to(folder / "nowhere")
    assert before is not None and fingerprint([folder]) == before


def test_a_link_that_leads_back_up_ends(folder):
    (folder / "a" / "up").symlink_to(folder)
    assert fingerprint([folder])


def test_what_is_unknown_or_of_another_kind_says_nothing_of_whether_data_differ():
    assert differ("examples:1", "examples:2") and differ("content:1", "content:2")
    for other in (None, "examples:1", "content:1", "content:2", "size-and-time:1"):
        assert not differ("examples:1", other) and not differ(other, "examples:1")


def test_examples_of_other_pixels_classes_shapes_or_order_are_others_and_rounding_is_none():
    def part(x=0, y=0, n=3, dtype="uint8"):
        return Part(np.full((n, 2, 2, 1), x, dtype), np.array([y, 1, 0, 1][:n], "int32"))

    def of(*parts):
        return of_examples(Dataset(*parts, num_classes=2, provenance="", class_names=("a", "b")))

    usual = part(), part(), part()
    known = of(*usual)
    assert known == of(*usual) and known.startswith("examples:")
    changed = part(x=1), part(y=1), part(n=4), part(dtype="float32")
    others = [of(*usual[:place], other, *usual[place + 1 :]) for other in changed for place in range(3)]
    assert len({known, *others}) == 13
    sparse = [dataclasses.replace(usual[0], x=scipy.sparse.csr_array(np.eye(3, dtype="int32"))) for _ in range(2)]
    assert of(sparse[0], *usual[1:]) == of(sparse[1], *usual[1:])
    tenth = part(0.1, dtype="float32")
    assert of(tenth, *usual[1:]) == of(part(0.1 + 1e-8, dtype="float32"), *usual[1:])

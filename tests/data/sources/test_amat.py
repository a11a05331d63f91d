import io
import zipfile

import numpy as np
import pytest

from nft_keras.data import DataError
from nft_keras.data.sources import amat


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return np.column_stack([rng.random((6, 784)).round(6), [0, 1, 2, 0, 1, 2]])


def text(table):
    file = io.BytesIO()
    np.savetxt(file, table, fmt="%.7e", delimiter="   ")
    return file.getvalue()


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def check(x, y, table):
    np.testing.assert_allclose(x, table[:, :784], atol=1e-7)
    np.testing.assert_array_equal(y, table[:, 784])
    assert x.dtype == "float32" and y.dtype == "int32"


def test_a_table_is_read_as_it_was_written(tmp_path, table):
    path = tmp_path / "t.amat"
    path.write_bytes(b"#size: 6 785\n\n" + text(table) + b"\n  \n")
    check(*amat.read(path, "t.amat", 6, 3), table)


def test_a_table_is_read_out_of_a_zip_wherever_it_lies_in_there(tmp_path, table):
    for name in ("t.amat", "50k/t.amat", "folder/50k/t.amat", "elsewhere/t.amat"):
        path = zipped(tmp_path / "a.zip", **{"README": b"", name: text(table)})
        check(*amat.read(path, "50k/t.amat", 6, 3), table)
    path = zipped(tmp_path / "a.zip", **{"t.amat": b"", "50k/t.amat": text(table)})
    check(*amat.read(path, "50k/t.amat", 6, 3), table)
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_a_long_table_is_read_piece_by_piece(tmp_path):
    path = tmp_path / "t.amat"
    path.write_bytes(b"".join(b"0 " * 784 + b"%d\n" % (i % 10) for i in range(4100)))
    x, y = amat.read(path, "t.amat", 4100, 10)
    np.testing.assert_array_equal(y, np.arange(4100) % 10)
    assert not x.any()


def changed(table, row, column, value):
    table = table.copy()
    table[row, column] = value
    return table


BAD = {
    "nan": (lambda t: text(changed(t, 1, 5, np.nan)), r"line 2: pixel 6 is nan, not in \[0, 1\]"),
    "infinity": (lambda t: text(changed(t, 1, 5, np.inf)), r"line 2: pixel 6 is inf"),
    "bytes instead of fractions": (lambda t: text(changed(t, 0, 0, 255)), "line 1: pixel 1 is 255"),
    "a label too high": (lambda t: text(changed(t, 5, 784, 3)), "line 6: label 3 is none of 0 to 2"),
    "a negative label": (lambda t: text(changed(t, 5, 784, -1)), "line 6: label -1 "),
    "a label that is no integer": (lambda t: text(changed(t, 5, 784, 0.5)), r"line 6: label 0\.5 "),
    "a missing column": (lambda t: text(t[:, 1:]), "line 1: 784 columns instead of 785"),
    "a short row": (lambda t: text(t[:3]) + b"0 1\n" + text(t[3:]), "line 4: 2 columns instead of 785"),
    "a word": (lambda t: text(t).replace(b"0.0000000e+00\n", b"zero\n", 1), "line 1: 'zero' is not a number"),
    "no text": (lambda t: b"\xff\xfe" * 5000, "line 1: 1 columns"),
    "no end of line": (lambda t: b"0 " * 1000000, "line 1: too many columns"),
    "a row too few": (lambda t: text(t[:5]), "5 rows instead of the 6"),
    "a row too many": (lambda t: text(t) + text(t[:1]), "more than the 6 rows"),
    "nothing": (lambda t: b"", "0 rows instead of the 6"),
    "half a row at the end": (lambda t: text(t)[:-5000], "line 6: .* columns"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_table_is_refused_with_its_name_and_line(tmp_path, table, what):
    make, message = BAD[what]
    path = tmp_path / "t.amat"
    path.write_bytes(make(table))
    with pytest.raises(DataError, match=f"t.amat.*{message}"):
        amat.read(path, "t.amat", 6, 3)
    path = zipped(tmp_path / "a.zip", **{"t.amat": make(table)})
    with pytest.raises(DataError, match=f"a.zip/t.amat.*{message}"):
        amat.read(path, "t.amat", 6, 3)


@pytest.mark.parametrize("name", ["../t.amat", "a/../../t.amat", "/etc/t.amat", "C:/t.amat", "a\\..\\t.amat"])
def test_an_archive_with_an_entry_that_leaves_its_folder_is_refused(tmp_path, table, name):
    path = zipped(tmp_path / "a.zip", **{"t.amat": text(table), name: b""})
    with pytest.raises(DataError, match=r"a\.zip: .* entry that leaves its folder"):
        amat.read(path, "t.amat", 6, 3)


def test_a_damaged_archive_is_refused_with_its_name(tmp_path, table):
    path = zipped(tmp_path / "a.zip", **{"t.amat": text(table)})
    good = path.read_bytes()
    middle = len(good) // 2
    for bad in (b"", b"hello", good[:middle], good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=r"a\.zip/t\.amat: cannot be read, damaged or cut short|a.zip/t.amat, line"):
            amat.read(path, "t.amat", 6, 3)


def test_an_archive_without_the_table_or_with_two_is_refused(tmp_path, table):
    path = zipped(tmp_path / "a.zip", **{"other.amat": text(table)})
    with pytest.raises(DataError, match=r"0 entries t\.amat instead of one; it has other\.amat"):
        amat.read(path, "t.amat", 6, 3)
    path = zipped(tmp_path / "a.zip", **{"a/t.amat": text(table), "b/t.amat": text(table)})
    with pytest.raises(DataError, match=r"2 entries"):
        amat.read(path, "t.amat", 6, 3)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"t\.amat: cannot be read"):
        amat.read(tmp_path / "t.amat", "t.amat", 6, 3)

import pytest

from nft_keras.data import DataError, load


@pytest.mark.parametrize("name", ["csv", "npz", "image-folder"])
def test_a_path_is_needed_and_must_exist(tmp_path, name):
    with pytest.raises(DataError, match=f"data set {name} needs the option 'path'"):
        load(name, tmp_path)
    with pytest.raises(DataError, match=f"no {tmp_path / 'nothing'}; a relative path starts from the data directory"):
        load(name, tmp_path, path="nothing")

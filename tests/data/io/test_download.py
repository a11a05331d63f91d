import hashlib
import socket

import numpy as np
import pytest

from nft_keras.data import DataError
from nft_keras.data.io.download import DownloadError, download

BODY = np.random.default_rng(0).bytes(300_000)
SHA1 = hashlib.sha1(BODY).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "file.zip"


def closed_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def leftovers(path):
    return [file.name for file in path.parent.iterdir()]


def test_the_file_arrives_whole_and_alone(server, path):
    server.files["file.zip"] = BODY
    assert download([server.url("file.zip")], path, sha1=SHA1) == path
    assert path.read_bytes() == BODY
    assert leftovers(path) == ["file.zip"]


def test_a_broken_connection_is_taken_up_where_it_broke_off(server, path):
    server.files["file.zip"], server.breaks = BODY, [100_000, 50_000]
    download([server.url("file.zip")], path, sha1=SHA1)
    assert path.read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_an_interrupted_download_goes_on_in_the_next_call(server, path):
    server.files["file.zip"], server.breaks = BODY, [100_000]
    with pytest.raises(DownloadError, match="ended after 100,000 of 300,000 bytes"):
        download([server.url("file.zip")], path, sha1=SHA1, attempts=1)
    assert leftovers(path) == ["file.zip.part"]
    download([server.url("file.zip")], path, sha1=SHA1)
    assert path.read_bytes() == BODY
    assert server.asked[-1] == "bytes=100000-"


def test_a_server_that_cannot_continue_is_asked_for_everything(server, path):
    server.files["file.zip"], server.ranges = BODY, False
    path.parent.mkdir()
    path.with_name("file.zip.part").write_bytes(BODY[:1000])
    download([server.url("file.zip")], path, sha1=SHA1)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("piece", [b"x" * 1000, b"x" * 300_000, BODY + b"x", BODY], ids=len)
def test_a_piece_of_another_file_is_thrown_away_and_a_complete_one_is_used(server, path, piece):
    server.files["file.zip"] = BODY
    path.parent.mkdir()
    path.with_name("file.zip.part").write_bytes(piece)
    download([server.url("file.zip")], path, sha1=SHA1)
    assert path.read_bytes() == BODY
    assert leftovers(path) == ["file.zip"]


def test_a_file_with_another_checksum_is_refused_and_leaves_nothing_behind(server, path):
    server.files["file.zip"] = BODY[::-1]
    with pytest.raises(DownloadError, match=f"has SHA-1 .*, the published one has {SHA1}"):
        download([server.url("file.zip")], path, sha1=SHA1)
    assert leftovers(path) == []


@pytest.mark.parametrize(
    "announces, message",
    [
        ("9" * 5000, r"announces 9{20}\.\.\. bytes, more than the 1,000,000 that are taken"),
        ("1000001", "announces 1000001 bytes, more than the 1,000,000 that are taken"),
        ("299999", "sends more than the 299,999 bytes that it announced"),
        ("\u00b2", f"has SHA-1 .*, the published one has {SHA1}"),
    ],
    ids=["digits", "too many", "too few", "no digits"],
)
def test_a_server_that_announces_what_is_not_so_is_believed_in_nothing(server, path, monkeypatch, announces, message):
    monkeypatch.setattr("nft_keras.data.io.download._LARGEST", 1_000_000)
    server.files["file.zip"], server.announces = BODY[::-1], announces
    with pytest.raises(DownloadError, match=message):
        download([server.url("file.zip")], path, sha1=SHA1)
    assert leftovers(path) == []


def test_a_server_that_never_ends_fills_no_disk(server, path, monkeypatch):
    monkeypatch.setattr("nft_keras.data.io.download._LARGEST", 100_000)
    server.files["file.zip"], server.announces = BODY, ""
    with pytest.raises(DownloadError, match="sends more than the 100,000 bytes that are taken"):
        download([server.url("file.zip")], path, sha1=SHA1)
    assert leftovers(path) == []


def test_the_next_address_is_tried_when_one_has_no_such_file_or_does_not_answer(server, path):
    server.files["file.zip"] = BODY
    silent = f"http://127.0.0.1:{closed_port()}/file.zip"
    download([silent, server.url("nothing"), server.url("file.zip")], path, sha1=SHA1)
    assert path.read_bytes() == BODY


def test_the_error_names_every_address_and_what_was_wrong_there(server, path):
    silent = f"http://127.0.0.1:{closed_port()}/file.zip"
    with pytest.raises(DownloadError, match=r"file.zip cannot be downloaded: .*refused.*/nothing: HTTP 404") as caught:
        download([silent, server.url("nothing")], path, sha1=SHA1)
    assert "\n" not in str(caught.value)
    assert leftovers(path) == []


def test_a_proxy_counts_from_when_the_environment_names_it_until_it_no_longer_does(server, path, monkeypatch):
    server.files["file.zip"] = BODY
    with monkeypatch.context() as environment:
        environment.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
        with pytest.raises(DownloadError, match="refused"):
            download([server.url("file.zip")], path, sha1=SHA1)
    assert server.asked == []
    download([server.url("file.zip")], path, sha1=SHA1)
    assert path.read_bytes() == BODY


def test_a_folder_that_cannot_be_written_is_an_error_of_its_own(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write .*--data-dir") as caught:
        download([server.url("file.zip")], tmp_path / "file" / "file.zip", sha1=SHA1)
    assert not isinstance(caught.value, DownloadError)


def test_a_place_that_a_folder_has_taken_is_told(server, path):
    server.files["file.zip"] = BODY
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(DataError, match="cannot write .*file.zip: .*choose another --data-dir"):
        download([server.url("file.zip")], path, sha1=SHA1)

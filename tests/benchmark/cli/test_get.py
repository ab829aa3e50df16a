"""The command that downloads data asks for the licence, and says by hand what it may not do."""

from __future__ import annotations

from ..conftest import Call


def test_the_licence_is_shown_and_has_to_be_accepted(call: Call, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115 (as long as the test)
    code, said = call("data", "get", "physionet2012", "--data-root", tmp_path)
    assert code == 2
    assert "licence: Open Data Commons Attribution License 1.0, https://physionet.org" in said
    assert "please cite: Silva et al." in said
    assert "nobody is here to accept the licence: read it, then add --accept-licence" in said
    assert not (tmp_path / "physionet2012").exists()


def test_with_the_licence_accepted_a_mirror_is_asked(call: Call, tmp_path):
    mirror = ("--from", "http://127.0.0.1:9/", "--accept-licence")
    code, said = call("data", "get", "physionet2012", "--data-root", tmp_path, *mirror)
    assert code == 2
    assert "http://127.0.0.1:9/SHA256SUMS.txt: cannot be downloaded" in said


def test_what_terms_forbid_is_said_by_hand_with_file_and_folder(call: Call, tmp_path):
    code, said = call("data", "get", "mosi", "--data-root", tmp_path)
    assert code == 2
    assert "mosi is not downloaded by a program: open https://github.com/thuiar/MMSA" in said
    assert f"into {tmp_path / 'mosi'}" in said
    assert "aligned_50.pkl" in said
    assert "Licence: for research" in said

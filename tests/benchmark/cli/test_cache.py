"""``mmbench data cache``, on real files, as a user calls it."""

from __future__ import annotations

from pathlib import Path

from ..conftest import Call
from .clips import ENCODERS, write_clips


def test_a_cache_that_is_not_there_is_said(call: Call, tmp_path: Path):
    for words in (["ls"], ["verify"], ["rm", "all"]):
        code, said = call("data", "cache", *words, "--cache", tmp_path / "tpyo")
        assert code == 2
        assert "no folder of features" in said


def test_the_cache_is_listed_verified_and_removed(call: Call, tmp_path: Path):
    write_clips(tmp_path / "own")
    assert call("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)[0] == 0
    code, said = call("data", "cache", "ls", "--data-root", tmp_path)
    assert code == 0
    assert "2 kinds of features" in said
    assert said.count("clean") == 2
    code, said = call("data", "cache", "verify", "--data-root", tmp_path)
    assert (code, "2 shards of 48 clips are as they were written" in said) == (0, True)

    shard = sorted((tmp_path / "cache" / "features").glob("*/*.safetensors"))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 4
    shard.write_bytes(content)
    code, said = call("data", "cache", "verify", "--data-root", tmp_path)
    assert code == 1
    assert f"removed {shard}: its content has changed" in said
    (tmp_path / "own" / "train.npz").unlink()
    said = call("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)[1]
    assert said.count("encoded 24 of 24") == said.count("encoded 0 of 24") == 1
    assert call("data", "cache", "verify", "--data-root", tmp_path)[0] == 0

    code, said = call("data", "cache", "rm", "nothing", "--data-root", tmp_path)
    assert (code, len(said.strip().splitlines())) == (2, 1)
    code, said = call("data", "cache", "rm", shard.parent.name[:9], "--data-root", tmp_path)
    assert (code, said.count("removed")) == (0, 1)
    assert not shard.parent.exists()
    call("data", "cache", "rm", "all", "--data-root", tmp_path)
    assert "0 kinds" in call("data", "cache", "ls", "--data-root", tmp_path)[1]

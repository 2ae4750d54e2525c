import json
import os

import numpy as np
import pytest

from minires.common import files, json_files
from minires.training import checkpoints, records


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    json_files.write_json(path, {"old": 1})

    def fail():
        with files.atomic(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert json_files.read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_file_is_as_private_as_the_umask_or_the_old_file_says(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.touch()
    old.chmod(0o640)
    umask = os.umask(0o077)
    try:
        for path in (old, new):
            json_files.write_json(path, 1)
    finally:
        os.umask(umask)
    assert [path.stat().st_mode & 0o777 for path in (old, new)] == [0o640, 0o600]


def test_records_survive_a_torn_last_line(tmp_path):
    path = tmp_path / "records.jsonl"
    records.write_records(path, [{"step": 1}])
    with path.open("a") as file:
        file.write(json.dumps({"step": 2})[:5])
    assert records.read_records(path) == [{"step": 1}]


def test_a_checkpoint_keeps_arrays_and_state_exactly(tmp_path, rng):
    arrays = {"a": rng.standard_normal((2, 3)), "b": np.float32([1e-45, np.pi])}
    state = {"x": 0.1 + 0.2, "nested": {"n": 2**70}}
    checkpoints.save_checkpoint(tmp_path / "c", arrays, state)
    loaded, loaded_state = checkpoints.load_checkpoint(tmp_path / "c")
    assert loaded_state == state
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert np.array_equal(loaded[name], array)


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        json_files.read_json(tmp_path / "config.json")

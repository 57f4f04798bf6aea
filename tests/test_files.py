"""Files are whole or not there."""

import pytest
import torch

from course_lib.files import save_atomically


def test_content_comes_back_and_folders_are_made(tmp_path):
    path = tmp_path / "new" / "file.pt"
    save_atomically(path, {"a": torch.arange(3)})
    assert torch.load(path, weights_only=True)["a"].tolist() == [0, 1, 2]
    assert [each.name for each in path.parent.iterdir()] == ["file.pt"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "file.pt"
    save_atomically(path, 1)

    def full_disk(content, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_atomically(path, 2)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["file.pt"]

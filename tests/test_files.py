"""Files are whole or not there."""

import subprocess
import sys
import textwrap

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.files import clear_unfinished, folder_around, save_atomically, write_atomically, write_json


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
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(CourseError, match=r"cannot write .*file\.pt: No space left on device"):
        save_atomically(path, 2)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["file.pt"]


def test_json_is_readable_and_whole(tmp_path):
    path = tmp_path / "new" / "numbers.json"
    write_json(path, {"λ": [1, 2.5]})
    assert path.read_bytes() == '{\n "λ": [\n  1,\n  2.5\n ]\n}\n'.encode()
    with pytest.raises(TypeError):
        write_json(path, {"λ": object()})
    assert [each.name for each in path.parent.iterdir()] == ["numbers.json"]


def test_a_folder_is_found_from_within_before_the_librarys_own(tmp_path, monkeypatch):
    inside = tmp_path / "course" / "a" / "b"
    inside.mkdir(parents=True)
    own = tmp_path / "library"
    monkeypatch.setattr("course_lib.files.LIBRARY", own / "course_lib")
    named = {"course": tmp_path / "course", "library": own}
    for name, expected in named.items():
        assert folder_around(lambda folder, name=name: folder.name == name, inside) == expected.resolve()
    monkeypatch.chdir(inside)
    assert folder_around(lambda folder: folder.name in named) == named["course"].resolve()
    assert folder_around(lambda folder: False) is None


def test_a_full_disk_is_said_in_one_sentence_by_the_real_writer(tmp_path):
    """torch.save itself answers with a RuntimeError about positions in the file."""
    script = f"""
        import resource, signal
        from pathlib import Path
        import torch
        from course_lib.errors import CourseError
        from course_lib.files import save_atomically

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            save_atomically(Path({str(tmp_path / "file.pt")!r}), torch.zeros(100_000))
        except CourseError as error:
            print(error)
    """
    pytest.importorskip("resource", reason="needs limits of processes")
    answer = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert answer.stdout.strip() == f"cannot write {tmp_path / 'file.pt'}: File too large", answer.stderr
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_content_stays_what_it_is(tmp_path):
    def wrong(file):
        raise KeyError("content")

    with pytest.raises(KeyError, match="content"):
        write_atomically(tmp_path / "file", wrong)


def test_unfinished_files_are_cleared_and_others_are_not(tmp_path):
    for name in (".part-a", "film.part", "file.pt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".part-folder").mkdir()
    clear_unfinished(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"film.part", "file.pt", ".part-folder"}

"""What is kept beside a file of results, and what is refused before anything is trained."""

import pytest

from course_lib.errors import CourseError
from course_lib.tuning.unfinished import unfinished


def test_what_is_kept_stays_after_an_error_and_goes_with_success(tmp_path):
    out = tmp_path / "new" / "grid.json"

    def stopped():
        with unfinished(out) as folder:
            (folder / "grid").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with unfinished(out) as folder:
        assert (folder / "grid").is_dir()
    assert not list(out.parent.iterdir())


def test_nothing_stays_where_nothing_was_kept(tmp_path):
    with pytest.raises(CourseError), unfinished(tmp_path / "grid.json"):
        raise CourseError("labels")
    assert not list(tmp_path.iterdir())


def test_a_file_is_for_one_process_at_a_time(tmp_path):
    out = tmp_path / "grid.json"
    with (
        unfinished(out),
        pytest.raises(CourseError, match=r"^another process is at work on .*grid\.json: wait"),
        unfinished(out),
    ):
        pytest.fail("entered")
    with unfinished(out):
        pass


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for out, reason in ((tmp_path / "file" / "grid.json", "Not a directory"), (tmp_path, "the folder")):
        with pytest.raises(CourseError, match=f"^out must be a file .*{reason}"), unfinished(out):
            pytest.fail("entered")


@pytest.mark.usefixtures("used_up_quota")
def test_a_used_up_quota_is_told_before_anything_is_trained(tmp_path):
    message = r"^out must be a file that can be written, got .* \(File too large\)$"
    with pytest.raises(CourseError, match=message), unfinished(tmp_path / "grid.json"):
        pytest.fail("entered")

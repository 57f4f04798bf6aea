"""Makes `python -m course_lib.cli` the same as the `course` command, also where the script is not on the path."""

from course_lib.cli import app

if __name__ == "__main__":
    app(prog_name="course")

"""Runs the course's notebooks in order and reports the outcome of each; the work behind `course run`."""

from course_lib.runner.find import Plan, course_root, list_notebooks, parse_parameters, plan, select

__all__ = ["Plan", "course_root", "list_notebooks", "parse_parameters", "plan", "require_extras", "select"]


def require_extras() -> None:
    """Raise CourseError, naming the extra to install, where the packages that run notebooks are missing."""
    import importlib.util

    from course_lib.errors import CourseError

    missing = [
        name for name in ("papermill", "ipykernel", "ipywidgets") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise CourseError(
            f"Running notebooks needs {', '.join(missing)}: "
            "install the extra [course], in the course's folder with: pip install -e '.[course]'."
        )

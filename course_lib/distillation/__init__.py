"""The whole recipe: a teacher trained or loaded, students with any losses over several seeds, and a report."""

from course_lib.distillation.plan import Plan
from course_lib.distillation.recipe import distill, load_teacher
from course_lib.distillation.report import Report, Student

__all__ = ["Plan", "Report", "Student", "distill", "load_teacher"]

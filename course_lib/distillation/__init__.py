"""The whole recipe: a teacher trained or loaded, students with any losses over several seeds, and a report."""

from course_lib.distillation.networks import load_network
from course_lib.distillation.plan import Plan
from course_lib.distillation.recipe import Distillation, distill
from course_lib.distillation.report import Report, Student

__all__ = ["Distillation", "Plan", "Report", "Student", "distill", "load_network"]

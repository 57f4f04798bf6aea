"""Training: objectives of named terms, recipes, the teacher's cache, and the one loop for one student or many."""

from course_lib.training.cache import TeacherCache, cache_teacher, teacher_logits
from course_lib.training.loop import Run, Runs, TrainingDiverged, fit, fit_many
from course_lib.training.objective import Objective, PerStudent, Term, hard_labels, soft_targets
from course_lib.training.recipe import Recipe

__all__ = [
    "Objective",
    "PerStudent",
    "Recipe",
    "Run",
    "Runs",
    "TeacherCache",
    "Term",
    "TrainingDiverged",
    "cache_teacher",
    "fit",
    "fit_many",
    "hard_labels",
    "soft_targets",
    "teacher_logits",
]

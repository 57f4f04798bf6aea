"""Training: objectives of named terms, recipes, the teacher's cache, and the one loop for one student or many."""

from course_lib.training.answers import answers_from, save_answers
from course_lib.training.cache import TeacherCache, cache_teacher, fingerprints, teacher_logits
from course_lib.training.checkpoint import Checkpoints, load_weights
from course_lib.training.controls import (
    evened_dark_knowledge,
    exchanged_gradients,
    permuted_dark_knowledge,
)
from course_lib.training.layerwise import Layerwise, first_weights, layer_responses, shuffled_adapter
from course_lib.training.live import LiveTeacher
from course_lib.training.loop import fit, fit_many
from course_lib.training.methods import (
    confidence_weighted,
    gradient,
    gradient_matching,
    gradient_penalty,
    hard_labels,
    logits,
    smoothed_labels,
    soft_targets,
)
from course_lib.training.named import LOSSES, METHODS, Method, named_objective
from course_lib.training.norms import recompute_norm
from course_lib.training.objective import Objective, PerStudent, Term
from course_lib.training.processes import shared_logits
from course_lib.training.recipe import Recipe, spare_norms
from course_lib.training.runs import Run, Runs
from course_lib.training.schedules import Warmup
from course_lib.training.several import Forecast, forecast_cache, mean_answers
from course_lib.training.sources import (
    INDEX,
    INPUTS,
    LABELS,
    SOFT_MATRIX,
    STUDENT_GRADIENTS,
    STUDENT_LOGITS,
    TEACHER_GRADIENTS,
    TEACHER_LOGITS,
    Source,
    extra,
    student_activation,
    teacher_activation,
)
from course_lib.training.steps import TrainingDiverged
from course_lib.training.top_k import TopLogits
from course_lib.training.watch import Watch
from course_lib.training.weights import Ramp

__all__ = [
    "INDEX",
    "INPUTS",
    "LABELS",
    "LOSSES",
    "METHODS",
    "SOFT_MATRIX",
    "STUDENT_GRADIENTS",
    "STUDENT_LOGITS",
    "TEACHER_GRADIENTS",
    "TEACHER_LOGITS",
    "Checkpoints",
    "Forecast",
    "Layerwise",
    "LiveTeacher",
    "Method",
    "Objective",
    "PerStudent",
    "Ramp",
    "Recipe",
    "Run",
    "Runs",
    "Source",
    "TeacherCache",
    "Term",
    "TopLogits",
    "TrainingDiverged",
    "Warmup",
    "Watch",
    "answers_from",
    "cache_teacher",
    "confidence_weighted",
    "evened_dark_knowledge",
    "exchanged_gradients",
    "extra",
    "fingerprints",
    "first_weights",
    "fit",
    "fit_many",
    "forecast_cache",
    "gradient",
    "gradient_matching",
    "gradient_penalty",
    "hard_labels",
    "layer_responses",
    "load_weights",
    "logits",
    "mean_answers",
    "named_objective",
    "permuted_dark_knowledge",
    "recompute_norm",
    "save_answers",
    "shared_logits",
    "shuffled_adapter",
    "smoothed_labels",
    "soft_targets",
    "spare_norms",
    "student_activation",
    "teacher_activation",
    "teacher_logits",
]

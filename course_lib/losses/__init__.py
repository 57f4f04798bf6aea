"""Distillation losses: one file per idea, pure functions of tensors that need nothing but torch.

Reductions are the same everywhere: sum over classes and features, mean over examples.
"""

from course_lib.losses.common import NO_LABEL, class_dimension
from course_lib.losses.confidence_weighted import confidence_weighted_loss
from course_lib.losses.double_backpropagation import double_backpropagation_loss
from course_lib.losses.gradient import gradient_loss, gradient_matching_loss
from course_lib.losses.hard_label import hard_label_loss
from course_lib.losses.hypersphere import (
    angle_loss,
    hypersphere_split,
    magnitude_loss,
    radius_loss,
    spherical_soft_target_loss,
)
from course_lib.losses.jacobian import PullBack, differentiates, soft_gradients
from course_lib.losses.label_smoothing import smoothed_label_loss
from course_lib.losses.layer import input_gradient_loss, layer_response_loss
from course_lib.losses.logit import logit_loss
from course_lib.losses.penalty import gradient_penalty_loss, teacher_gradient_norm
from course_lib.losses.soft_target import soft_target_loss

__all__ = [
    "NO_LABEL",
    "PullBack",
    "angle_loss",
    "class_dimension",
    "confidence_weighted_loss",
    "differentiates",
    "double_backpropagation_loss",
    "gradient_loss",
    "gradient_matching_loss",
    "gradient_penalty_loss",
    "hard_label_loss",
    "hypersphere_split",
    "input_gradient_loss",
    "layer_response_loss",
    "logit_loss",
    "magnitude_loss",
    "radius_loss",
    "smoothed_label_loss",
    "soft_gradients",
    "soft_target_loss",
    "spherical_soft_target_loss",
    "teacher_gradient_norm",
]

"""Distillation losses: one file per idea, pure functions of tensors that need nothing but torch.

Reductions are the same everywhere: sum over classes and features, mean over examples.
"""

from course_lib.losses.hard_label import hard_label_loss
from course_lib.losses.logit import logit_loss
from course_lib.losses.soft_target import soft_target_loss

__all__ = ["hard_label_loss", "logit_loss", "soft_target_loss"]

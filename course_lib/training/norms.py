"""The running statistics of batch norm, computed again from given examples."""

import math

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from course_lib.data import Examples
from course_lib.errors import CourseError, check_count
from course_lib.models import evaluating
from course_lib.training.students import seeded


def recompute_norm(model: nn.Module, examples: Examples, *, batch_size: int = 256, seed: int = 0) -> None:
    """Replace the running statistics of a network's batch norms by those of these examples, in place.

    For weights that were averaged, pruned or copied, whose statistics belong to other weights; or for examples of
    another kind than those of the training. Each statistic becomes the mean over batches in train mode
    (``torch.optim.swa_utils.update_bn``), with dropout as in training; no weight changes.

    Args:
        model: with batch norms; each module's mode stays as it is.
        examples: all are shown once, in batches of nearly equal size.
        batch_size: largest number of examples in a batch, at least 2. With 2, one batch may hold 3, so none holds 1.
        seed: of the order of the examples, which come in classes in many data sets, and of dropout.

    Raises:
        CourseError: the network has no batch norm with running statistics, or one that stays in eval mode; fewer than
            two examples, or batches of one.
    """
    check_count(2, batch_size=batch_size)
    if len(examples) < 2:
        raise CourseError(f"examples must hold at least 2 examples for batch norm, got {len(examples)}")
    device = next(model.parameters()).device
    with evaluating(model), seeded(seed):
        model.train()
        norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
        if not any(each.track_running_stats for each in norms) or not all(each.training for each in norms):
            raise CourseError(
                "model must have batch norms with running statistics, all in train mode after model.train(), got "
                + (f"{len(norms)} batch norms that are not" if norms else "no batch norm")
            )
        order = torch.randperm(len(examples)).to(examples.device)
        count = min(math.ceil(len(examples) / batch_size), len(examples) // 2)  # one alone has no spread
        batches = order.tensor_split(count)
        update_bn((examples.batch(rows).to(device) for rows in batches), model)

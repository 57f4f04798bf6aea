"""The same epoch in torchdistill's own loop, where that library is installed (pip install torchdistill)."""

import importlib.util
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import Dataset, RandomSampler


def torchdistill_epoch(
    teacher: nn.Module, student: nn.Module, dataset: Dataset, batch_size: int
) -> Callable[[], None] | None:
    """What runs one epoch of its ``DistillationBox``, with two loader workers; None where it is not installed."""
    if importlib.util.find_spec("torchdistill") is None:
        return None
    from torchdistill.core.distillation import DistillationBox

    loss = {
        "student_module_path": ".",
        "student_module_io": "output",
        "teacher_module_path": ".",
        "teacher_module_io": "output",
        "temperature": 2.0,
        "alpha": 0.75,
        "reduction": "batchmean",
    }
    config = {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler},
            "kwargs": {"batch_size": batch_size, "num_workers": 2, "persistent_workers": True},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only"},
        "optimizer": {"key": "Adam", "kwargs": {"lr": 1e-3}},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": {"key": "KDLoss", "kwargs": loss}, "weight": 1.0}}},
        },
    }
    device = torch.device("cpu")
    box = DistillationBox(teacher, student, {"train": dataset}, config, device, None, False, 1)

    def epoch() -> None:
        box.pre_epoch_process(epoch=0)
        for sample_batch, targets, supplements in box.train_data_loader:
            box.pre_forward_process()
            value = box.forward_process(sample_batch, targets, supplements)
            box.post_forward_process(loss=value)

    return epoch

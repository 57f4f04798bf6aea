"""What a training gives back: one student, or many at once."""

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call


@dataclass(frozen=True, eq=False)
class Run:
    """One trained student.

    Attributes:
        model: the network, in eval mode.
        history: every unweighted term and "total" by name, each (steps,).
        seconds: wall-clock time of the training, with compilation, looks and checkpoints.
        seed: of the initial weights, the order of batches and dropout.
        watched: what ``Watch`` saw, one mapping with "step" and its numbers for each look.
    """

    model: nn.Module
    history: dict[str, np.ndarray]
    seconds: float
    seed: int
    watched: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Runs:
    """Many students, trained at once.

    Attributes:
        skeleton: a network of their architecture; its own weights mean nothing.
        parameters: by name, each (students, *shape).
        history: every unweighted term and "total" by name, each (steps, students).
        seconds: wall-clock time for all together.
        seeds: one per student.
    """

    skeleton: nn.Module
    parameters: dict[str, Tensor]
    history: dict[str, np.ndarray]
    seconds: float
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.seeds)

    def logits(self, inputs: Tensor, *, batch_size: int = 512) -> Tensor:
        """Logits of every student for the same inputs (N, *shape), as (students, N, C)."""
        device = next(iter(self.parameters.values())).device
        forward = torch.vmap(lambda p, x: functional_call(self.skeleton, p, (x,)), in_dims=(0, None))
        with torch.no_grad():
            return torch.cat(
                [forward(self.parameters, x.to(device)) for x in inputs.split(batch_size)], dim=1
            )

    def model(self, student: int) -> nn.Module:
        """A network of its own with the weights of one student."""
        model = copy.deepcopy(self.skeleton)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.parameters[name][student])
        return model.eval()

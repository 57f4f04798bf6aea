"""Layer-wise distillation, the article's eq. (3): adapters and terms for two networks with layers of equal names."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.losses import layer_response_loss
from course_lib.matrices import layer_adapter
from course_lib.models import Activations, WithRegressors
from course_lib.training.cache import TeacherCache
from course_lib.training.objective import PerStudent, Term
from course_lib.training.sources import student_activation, teacher_activation
from course_lib.training.threads import one_at_a_time


def layer_responses(network: nn.Module, layer: str, examples: Examples) -> tuple[Tensor, Tensor]:
    """What a layer answers to examples, and how their own classes' logits depend on it.

    Returns:
        The activation and the gradient of Σ_i F_{c_i}(x_i) with respect to it, both (N, channels, H, W).
    """
    with Activations(network, [layer]) as z:
        own = network(examples.inputs.clone().requires_grad_()).gather(1, examples.labels[:, None])
    (gradient,) = torch.autograd.grad(own.sum(), z[layer])
    return z[layer].detach(), gradient


@one_at_a_time()
def first_weights(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The student with the weights from which ``fit`` and ``fit_many`` start it under this seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def shuffled_adapter(adapter: Tensor, teacher_response: Tensor, seed: int) -> Tensor:
    """The control: A's rows dealt out to the teacher's channels at random, each in its new channel's scale.

    All that is lost is which of the student's channels belong to which of the teacher's.

    Args:
        adapter: A, (C_big, C_small).
        teacher_response: (N, C_big, H, W), for the scales.
        seed: of the order.
    """
    order = torch.randperm(len(adapter), generator=torch.Generator().manual_seed(seed))
    scale = teacher_response.square().mean(dim=(0, 2, 3)).sqrt()[:, None]
    return scale * (adapter / scale.clamp(min=1e-12))[order]


class Layerwise:
    """Adapters and terms of eq. (3) for one teacher and students of one architecture.

    Args:
        teacher: the big network.
        build_student: makes a student; its layers have the teacher's names.
        layers: names of layers, such as those of the ReLUs behind convolutions.
        probes: examples on which channels are compared.
        cache: the teacher's answers, with the activations of these layers.

    Raises:
        CourseError: no layers, or one whose activations the cache does not hold.
    """

    def __init__(
        self,
        teacher: nn.Module,
        build_student: Callable[[], nn.Module],
        layers: Iterable[str],
        probes: Examples,
        cache: TeacherCache,
    ):
        self.layers = tuple(layers)
        missing = [layer for layer in self.layers if layer not in cache.activations]
        if missing or not self.layers:
            raise CourseError(
                f"layers must be among those of the cache ({', '.join(cache.activations) or 'none'}), "
                f"got {', '.join(missing) or 'none'}"
            )
        self._teacher, self._build, self._probes = teacher, build_student, probes
        self._of_teacher = {layer: layer_responses(teacher, layer, probes) for layer in self.layers}
        maps = {layer: cache.activations[layer] for layer in self.layers}
        self._sizes = {
            layer: float(z.float().square().flatten(1).sum(dim=1).mean()) for layer, z in maps.items()
        }

    def adapters(
        self, seeds: Sequence[int], sharpness: float, *, shuffled: bool = False
    ) -> dict[str, list[Tensor]]:
        """By layer, A(W_soft, S_soft) of every student at its first weights, or the shuffled control."""
        found: dict[str, list[Tensor]] = {layer: [] for layer in self.layers}
        for seed in seeds:
            network = first_weights(self._build, seed)
            for layer, (activation, gradient) in self._of_teacher.items():
                own, _ = layer_responses(network, layer, self._probes)
                adapter = layer_adapter(activation, gradient, own, sharpness)
                found[layer].append(shuffled_adapter(adapter, activation, seed) if shuffled else adapter)
        return found

    def terms(self, weights: Iterable[float], adapters: dict[str, list[Tensor]] | None = None) -> list[Term]:
        """A term for each layer, divided by the mean of ‖z_big‖² so that 1 means "nothing explained".

        Args:
            weights: one per student, of the mean over the layers.
            adapters: A of every student by layer; None reads the regressors of ``with_regressors``.
        """
        weights, terms = list(weights), []
        for place, layer in enumerate(self.layers):
            read = student_activation(layer if adapters else f"regressors.{place}")
            settings: dict[str, Any] = {"adapter": PerStudent(adapters[layer])} if adapters else {}
            scaled = PerStudent(weight / len(self.layers) / self._sizes[layer] for weight in weights)
            settings |= {"student_response": read, "teacher_response": teacher_activation(layer)}
            terms.append(Term(layer, layer_response_loss, scaled, **settings))
        return terms

    def with_regressors(self) -> WithRegressors:
        """A student that carries a learned map for each layer, from its channels to the teacher's."""
        example = self._probes.take([0]).inputs
        return WithRegressors.between(self._build(), self._teacher, self.layers, example)

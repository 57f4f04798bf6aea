"""Chapter 06: size, direction, or both, on logits, features and gradients, over steps, teachers and splits.

Every student minimises hard + weight · loss. The weight is chosen on validation images from nine values, one of them 0.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from course_lib import losses
from course_lib.data import Examples
from course_lib.losses import (
    angle_loss,
    hypersphere_split,
    magnitude_loss,
    radius_loss,
    spherical_soft_target_loss,
)
from course_lib.matrices import class_soft_matrix
from course_lib.models import mlp, small_mlp
from course_lib.training import (
    STUDENT_GRADIENTS,
    STUDENT_LOGITS,
    TEACHER_GRADIENTS,
    TEACHER_LOGITS,
    Objective,
    PerStudent,
    Recipe,
    Runs,
    Source,
    TeacherCache,
    Term,
    cache_teacher,
    fit_many,
    student_activation,
    teacher_activation,
    teacher_logits,
)
from studies.study import Study
from studies.worlds import DigitsWorld, baselines, best, crossed, diagnosed, right_answers, teacher_of

STEPS = (200, 800, 4000)
PAIRS, SEARCH = range(20), range(1000, 1003)
LABELS, WORLDS = 50, (0, 1, 2)  # a world is the seed of split and teachers; weights are chosen in the first
TEMPERATURE = 4.0
DECAYS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1)  # of the rival: labels alone, with weight decay
ALONE = "logits: radius"  # with weight 0, as any other loss


def both_parts(student: Tensor, teacher: Tensor) -> Tensor:
    """The whole squared distance, as the sum of its parts."""
    radius_part, angle_part = hypersphere_split(student, teacher)
    return (radius_part + angle_part).mean()


@dataclass(frozen=True)
class Row:
    """A loss beside the labels.

    Attributes:
        loss: of the two networks.
        settings: of its term.
        grid: of its weight.
        teacher: which cache answers, "big" or "narrow".
        further: more weights, tried because the best of the grid lay at its end.
    """

    loss: Callable[..., Tensor]
    settings: dict[str, Source | float]
    grid: tuple[float, ...]
    teacher: str = "big"
    further: tuple[float, ...] = ()

    @property
    def weights(self) -> tuple[float, ...]:
        """All that are tried."""
        return self.grid + self.further


def half_decades(first: int, count: int = 8) -> tuple[float, ...]:
    """0, then √10 to the powers from ``first`` on."""
    return (0.0, *(float(f"{10 ** (power / 2):.3g}") for power in range(first, first + count)))


LOGITS = {"student": STUDENT_LOGITS, "teacher": TEACHER_LOGITS}
FEATURES = {"student": student_activation("relu2"), "teacher": teacher_activation("relu3")}
GRADIENTS = {"student": STUDENT_GRADIENTS, "teacher": TEACHER_GRADIENTS}
SOFT = {"temperature": TEMPERATURE}
ROWS = {
    "logits: radius": Row(radius_loss, LOGITS, half_decades(-6)),
    "logits: magnitude": Row(magnitude_loss, LOGITS, half_decades(-8), further=(1e-5, 3.16e-5)),
    "logits: angle": Row(angle_loss, LOGITS, half_decades(-1)),
    "logits: both": Row(losses.logit_loss, {}, half_decades(-5)),
    "logits: spherical": Row(spherical_soft_target_loss, SOFT, half_decades(-3)),
    "logits: soft targets": Row(losses.soft_target_loss, SOFT, half_decades(-3)),
    "features: radius": Row(radius_loss, FEATURES, half_decades(-4), "narrow"),
    "features: angle": Row(angle_loss, FEATURES, half_decades(-2), "narrow"),
    "features: both": Row(both_parts, FEATURES, half_decades(-4), "narrow"),
    "gradients: radius": Row(radius_loss, GRADIENTS, half_decades(-4)),
    "gradients: angle": Row(angle_loss, GRADIENTS, half_decades(-1), further=(3160.0, 10000.0)),
    "gradients: both": Row(both_parts, GRADIENTS, half_decades(-6), further=(1e-4, 3.16e-4)),
}


class World(DigitsWorld):
    """A split of the digits and two teachers: a big one, and one with as many features as the student."""

    @cached_property
    def narrow(self) -> nn.Module:
        """The teacher with as many features as the student."""
        build = partial(mlp, (1, 8, 8), (512, 512, 16), 10)
        return teacher_of(self.digits.train, self.seed, build=build)

    @cached_property
    def caches(self) -> dict[str, TeacherCache]:
        """What the teachers say about the training images, "big" and "narrow"."""
        train = self.digits.train
        soft_matrix = class_soft_matrix(teacher_logits(self.teacher, train), train.labels, 4.0, 10)
        return {
            "big": cache_teacher(self.teacher, train, soft_matrix=soft_matrix),
            "narrow": at_unit_size(cache_teacher(self.narrow, train, layers=["relu3"]), "relu3"),
        }


def at_unit_size(cache: TeacherCache, layer: str) -> TeacherCache:
    """The same answers with the features of a layer divided by their root mean square over all examples."""
    features = cache.activations[layer]
    return replace(cache, activations={layer: features / features.square().mean().sqrt()})


def train(
    world: World, name: str, weights: Sequence[float], seeds: Sequence[int], decay: float = 0.0
) -> Runs:
    """Students of hard + weight · loss, one for each weight and seed, all at once."""
    row = ROWS[name]
    taught = Term("taught", row.loss, PerStudent(weights), **row.settings)
    goal = Objective([Term("hard", losses.hard_label_loss), taught])
    recipe = Recipe(steps=STEPS[-1], batch_size=32, lr=5e-3, weight_decay=decay)
    return fit_many(
        small_mlp,
        goal,
        world.subsets(LABELS, seeds),
        recipe,
        seeds=seeds,
        teacher=world.caches[row.teacher],
        keep=STEPS[:-1],
    )


def right(runs: Runs, part: Examples) -> Tensor:
    """Right answers of every student, (students,)."""
    return right_answers(runs.logits(part.inputs), part.labels)


def search(world: World, name: str, grid: Sequence[float]) -> dict[str, list[list[int]]]:
    """Right answers on validation images, by steps: a list for each weight, of the search's students."""
    runs = train(world, name, *crossed(grid, SEARCH))
    counts = runs.over(lambda students: right(students, world.digits.validation))
    return {str(steps): each.view(len(grid), -1).tolist() for steps, each in counts.items()}


def search_decay(world: World) -> dict[str, list[list[int]]]:
    """The same for labels alone: a list for each weight decay."""
    seeds, part, counts = list(SEARCH), world.digits.validation, {str(steps): [] for steps in STEPS}
    for decay in DECAYS:
        runs = train(world, ALONE, [0.0] * len(seeds), seeds, decay)
        for steps, each in runs.over(lambda students: right(students, part)).items():
            counts[str(steps)].append(each.tolist())
    return counts


def searched(study: Study, world: World, name: str) -> dict[str, list[list[int]]]:
    """``search`` over the grid and, where there are, the further weights."""
    row, where = ROWS[name], f"{LABELS} labels, {name}"
    found = study.kept(f"search, {where}", partial(search, world, name, row.grid))
    if not row.further:
        return found
    more = study.kept(f"further search, {where}", partial(search, world, name, row.further))
    return {steps: found[steps] + more[steps] for steps in found}


def chosen(found: dict[str, list[list[int]]], name: str) -> float:
    """The weight whose students are best on validation images at the last step."""
    return best(ROWS[name].weights, found[str(STEPS[-1])])


def compared(world: World, name: str, weight: float, decay: float = 0.0) -> dict:
    """Right answers of the paired students on test images, by steps, and their diagnostic numbers."""
    seeds, test = list(PAIRS), world.digits.test
    runs = train(world, name, [weight] * len(seeds), seeds, decay)
    answers = teacher_logits(world.narrow if ROWS[name].teacher == "narrow" else world.teacher, test)
    own = world.subsets(LABELS, seeds)
    return {
        "right": {str(steps): each.tolist() for steps, each in runs.over(lambda s: right(s, test)).items()},
        "diagnosis": diagnosed(runs, own, test, answers, places=4, scale=1),
    }


def make_study() -> Study:
    """The study with all that its numbers depend on."""
    settings = {
        "steps": STEPS,
        "pairs": len(PAIRS),
        "search seeds": len(SEARCH),
        "labels": LABELS,
        "worlds": WORLDS,
        "temperature": TEMPERATURE,
        "grids": {name: row.weights for name, row in ROWS.items()},
        "decays": DECAYS,
    }
    return Study("chapter_06", "Size and direction of logits, features and gradients on the digits", settings)


def rows_in(world: int, names: Iterable[str]) -> list[str]:
    """Radius, angle and both in all worlds; other losses in the first."""
    return [name for name in names if world == 0 or name.split(": ")[1] in ("radius", "angle", "both")]


def measure_world(study: Study, world: World, weights: dict[str, float], decay: float) -> dict:
    """Labels alone, with weight decay too, every row with its chosen weight unless it is 0, and classical methods."""
    where = f"{LABELS} labels, world {world.seed}"

    def keep(name: str, weight: float) -> dict:
        return study.kept(f"{where}, {name}, {weight}", partial(compared, world, name, weight))

    own = world.subsets(LABELS, PAIRS)
    return {
        "world": world.seed,
        "test images": len(world.digits.test),
        "baselines": baselines(own, world.digits.test, places=4, scale=1),
        "hard labels": keep(ALONE, 0.0),
        "weight decay": study.kept(
            f"{where}, weight decay {decay}", partial(compared, world, ALONE, 0.0, decay)
        ),
        "compared": {
            name: keep(name, weights[name]) for name in rows_in(world.seed, weights) if weights[name]
        },
    }


def main() -> None:
    """Search in the first world, then measure in all."""
    study, worlds = make_study(), [World(seed) for seed in WORLDS]
    found = {name: searched(study, worlds[0], name) for name in ROWS}
    weights = {name: chosen(each, name) for name, each in found.items()}
    decays = study.kept("search, weight decay", partial(search_decay, worlds[0]))
    decay = best(DECAYS, decays[str(STEPS[-1])])
    study.write(
        searched=found,
        chosen=weights,
        searched_decay=decays,
        chosen_decay=decay,
        worlds=[measure_world(study, each, weights, decay) for each in worlds],
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

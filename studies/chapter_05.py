"""Chapter 05: what a penalty on gradients is worth, beside its rivals, over steps, noise, teachers and splits.

All methods choose their one setting from as many values, on validation images with the noise in question.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from course_lib import losses, measure
from course_lib.data import Examples
from course_lib.matrices import class_soft_matrix
from course_lib.models import small_mlp, with_noise
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Runs,
    Term,
    cache_teacher,
    fit_many,
    teacher_logits,
)
from studies.study import Study
from studies.worlds import DigitsWorld, best, crossed, diagnosed, right_answers

STEPS = (200, 800, 4000)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6)  # standard deviation of the noise, as a share of black against white
TUNED_FOR = (0.0, 0.4)  # of these
PAIRS, SEARCH = range(20), range(1000, 1003)
LABELS = 200
WORLDS = (0, 1, 2)  # seed of split, teacher and noise; the settings are chosen in the first
# All of seven values, the first without effect; no chosen value lies at the other end.
GRIDS = {
    "weight decay": (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
    "noise on hard labels": (0.0, 0.6, 0.8, 1.1, 1.5, 2.0, 3.0),
    "noise on logits": (0.0, 0.4, 0.6, 0.8, 1.1, 1.5, 2.0),
    "double backpropagation": (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    "penalty on hard labels": (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "penalty on logits": (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
    "penalty on logits, teacher's norm": (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
}
# By name: data term, what is added, its soft matrix, and its target in units of the teacher's mean norm.
METHODS = {
    "hard labels": ("hard", None),
    "hard + weight decay": ("hard", "weight decay"),
    "hard + noise": ("hard", "noise"),
    "hard + double backpropagation": ("hard", "double backpropagation"),
    "hard + penalty, identity": ("hard", "penalty", "identity", 0.0),
    "hard + penalty, S": ("hard", "penalty", "S", 0.0),
    "hard + penalty, S permuted": ("hard", "penalty", "S permuted", 0.0),
    "hard + penalty, S, teacher's norm": ("hard", "penalty", "S", 1.0),
    "logits": ("logits", None),
    "logits + noise": ("logits", "noise"),
    "logits + penalty, S": ("logits", "penalty", "S", 0.0),
    "logits + penalty, S, teacher's norm": ("logits", "penalty", "S", 1.0),
}
# What is measured in the worlds after the first, with both settings or with the one for noise alone.
IN_ALL_WORLDS = ("hard labels", "hard + penalty, S", "logits")
IN_NOISE = (
    "hard + noise",
    "hard + penalty, identity",
    "hard + penalty, S permuted",
    "logits + noise",
    "logits + penalty, S",
)
Counts = dict[str, dict[str, list]]  # by steps and share of noise: right answers, by value and student


class World(DigitsWorld):
    """A split of the digits, a teacher, its soft matrix in three versions, and noise."""

    def __init__(self, seed: int):
        super().__init__(seed)
        self.black_to_white = 1 / float(self.digits.train.std[0])
        train = self.digits.train
        S = class_soft_matrix(teacher_logits(self.teacher, train), train.labels, 4.0, 10)
        self.cache = cache_teacher(self.teacher, train, soft_matrix=S)
        self.alpha = float(self.cache.gradients.flatten(1).norm(dim=1).mean())
        identity = torch.eye(10) * S.norm() / 10**0.5  # as large as S
        self.matrices = {"S": S, "identity": identity, "S permuted": permuted(S, seed)}

    def counts(self, runs: Runs, part: Examples) -> dict[str, dict[str, Tensor]]:
        """Right answers under each noise, which is the same for all students, (students,) each."""
        draw = torch.randn(part.inputs.shape, generator=torch.Generator().manual_seed(self.seed))

        def right(students: Runs, share: float) -> Tensor:
            noisy = part.inputs + share * self.black_to_white * draw
            return right_answers(students.logits(noisy), part.labels)

        return {
            str(steps): {str(share): right(runs.at(steps), share) for share in SHARES}
            for steps in runs.budgets
        }


def permuted(S: Tensor, seed: int) -> Tensor:
    """S with its diagonal, and the rest of every column in another order: without what classes are alike."""
    generator, result = torch.Generator().manual_seed(seed), S.clone()
    for column in range(S.shape[1]):
        rest = [row for row in range(len(S)) if row != column]
        result[rest, column] = S[rest, column][torch.randperm(len(rest), generator=generator)]
    return result


def objective(world: World, data: str, values: Sequence[float], added: str | None, *how) -> Objective:
    """The data term, and for gradients a second term with one weight for each student."""
    first = Term("hard", losses.hard_label_loss) if data == "hard" else Term("logits", losses.logit_loss)
    if added == "penalty":
        matrix, target = world.matrices[how[0]], how[1] * world.alpha
        settings = {"layers": ["inputs"], "soft_matrix": matrix, "target_norm": target}
        return Objective(
            [first, Term("penalty", losses.gradient_penalty_loss, PerStudent(values), **settings)]
        )
    if added == "double backpropagation":
        return Objective([first, Term("slope", losses.double_backpropagation_loss, PerStudent(values))])
    return Objective([first])


def train(world: World, method: str, values: Sequence[float], seeds: Sequence[int]) -> Runs:
    """One student for each value and seed, all at once; for weight decay all values must be equal."""
    data, added, *how = METHODS[method]
    sigmas = iter(values)
    build = (lambda: with_noise(small_mlp, next(sigmas))) if added == "noise" else small_mlp
    decay = values[0] if added == "weight decay" else 0.0
    recipe = Recipe(steps=STEPS[-1], batch_size=32, lr=5e-3, weight_decay=decay)
    goal = objective(world, data, values, added, *how)
    own = world.subsets(LABELS, seeds)
    return fit_many(build, goal, own, recipe, seeds=seeds, teacher=world.cache, keep=STEPS[:-1])


def grid_of(method: str) -> tuple[float, ...]:
    """The values from which a method chooses; 0 alone where it has nothing to choose."""
    data, added, *how = METHODS[method]
    if added is None:
        return (0.0,)
    placed = f"{added} on {'hard labels' if data == 'hard' else 'logits'}"
    names = (f"{placed}, teacher's norm" if how and how[-1] else placed, placed, added)
    return next(GRIDS[name] for name in names if name in GRIDS)


def search(world: World, method: str) -> Counts:
    """Right answers on validation images of the search's students, by value, one list each."""
    grid = grid_of(method)
    apart = METHODS[method][1] == "weight decay"
    batches = [[value] for value in grid] if apart else [list(grid)]
    found = []
    for batch in batches:
        runs = train(world, method, *crossed(batch, SEARCH))
        found.append(world.counts(runs, world.digits.validation))
    return {
        steps: {
            share: [row for each in found for row in each[steps][share].view(-1, len(SEARCH)).tolist()]
            for share in found[0][steps]
        }
        for steps in found[0]
    }


def chosen(searched: Counts, grid: Sequence[float], steps: int, share: float) -> float:
    """The value whose students are best on validation images under this noise."""
    return best(grid, searched[str(steps)][str(share)])


def compared(world: World, method: str, value: float) -> dict:
    """Right answers of the paired students on test images; their diagnostic numbers in the end, without noise."""
    seeds = list(PAIRS)
    runs = train(world, method, [value] * len(seeds), seeds)
    test = world.digits.test
    counts, answers = world.counts(runs, test), teacher_logits(world.teacher, test)
    numbers = diagnosed(runs, world.subsets(LABELS, seeds), test, answers, places=4, scale=1)
    return {
        "right": {
            steps: {share: row.tolist() for share, row in each.items()} for steps, each in counts.items()
        },
        "diagnosis": {name: numbers[name] for name in ("train", "agreement", "confidence_gap")},
    }


def baselines(world: World) -> dict[str, dict[str, list[int]]]:
    """Right answers of classical methods on the same labelled images, under the same noise."""
    test = world.digits.test
    draw = torch.randn(test.inputs.shape, generator=torch.Generator().manual_seed(world.seed))
    result = {}
    for name, make in measure.BASELINES.items():
        fitted = [make().fit(own.inputs.flatten(1), own.labels) for own in world.subsets(LABELS, PAIRS)]
        result[name] = {}
        for share in SHARES:
            noisy = (test.inputs + share * world.black_to_white * draw).flatten(1)
            right = [int((torch.from_numpy(each.predict(noisy)) == test.labels).sum()) for each in fitted]
            result[name][str(share)] = right
    return result


def searched(study: Study) -> dict[str, Counts]:
    """By method, in the first world."""
    world = World(WORLDS[0])
    return {method: study.kept(f"search, {method}", partial(search, world, method)) for method in METHODS}


def measure_world(study: Study, seed: int, settings: dict[str, dict[str, float]]) -> dict:
    """All methods in one world, with the settings chosen in the first."""
    world = World(seed)
    asked = {method: list(dict.fromkeys(each.values())) for method, each in settings.items()}
    if seed != WORLDS[0]:
        in_noise = {method: [settings[method][str(TUNED_FOR[-1])]] for method in IN_NOISE}
        asked = {method: asked[method] for method in IN_ALL_WORLDS} | in_noise
    return {
        "world": seed,
        "black to white": world.black_to_white,
        "teacher's norm": world.alpha,
        "test images": len(world.digits.test),
        "baselines": study.kept(f"world {seed}, baselines", partial(baselines, world)),
        "compared": {
            method: {
                str(value): study.kept(
                    f"world {seed}, {method}, {value}", partial(compared, world, method, value)
                )
                for value in values
            }
            for method, values in asked.items()
        },
    }


def make_study() -> Study:
    """The study with all that its numbers depend on."""
    settings = {
        "steps": STEPS,
        "noise": SHARES,
        "tuned for": TUNED_FOR,
        "labels": LABELS,
        "pairs": len(PAIRS),
        "search seeds": len(SEARCH),
        "worlds": WORLDS,
        "grids": GRIDS,
        "methods": METHODS,
    }
    return Study(
        "chapter_05", "Penalties on gradients and their rivals on the digits, by steps and noise", settings
    )


def choices(found: dict[str, Counts]) -> dict[str, dict[str, float]]:
    """By method and share of noise, the value chosen at the last step."""
    return {
        method: {str(share): chosen(each, grid_of(method), STEPS[-1], share) for share in TUNED_FOR}
        for method, each in found.items()
    }


def main() -> None:
    """Search in the first world, then measure in all."""
    study = make_study()
    found = searched(study)
    settings = choices(found)
    last = {
        method: {str(share): each[str(STEPS[-1])][str(share)] for share in TUNED_FOR}
        for method, each in found.items()
    }
    worlds = [measure_world(study, seed, settings) for seed in WORLDS]
    study.write(searched=last, chosen=settings, worlds=worlds)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

"""Temperature, λ and rate against weight decay, smoothing and rate: both sides tuned, over budgets, for notebook 10."""

import sys
from functools import partial
from itertools import product

import numpy as np

from course_lib import tuning
from course_lib.data import load
from course_lib.measure import accuracy, trivial_baseline
from course_lib.models import small_mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Runs,
    cache_teacher,
    fit_many,
    hard_labels,
    logits,
    smoothed_labels,
    soft_targets,
    teacher_logits,
)
from studies.study import Study
from studies.worlds import crossed, diagnosed, earlier, rounded, subsets

BUDGETS = (200, 800, 4000)  # steps
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
TEMPERATURES, LAM = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0), 0.9
HARD_RATES = RATES[:-1]
DECAYS, SMOOTHINGS = (0.0, 0.001, 0.01, 0.1), (0.0, 0.1)
# Added where the first grid had its best at the edge: more smoothing, at all but the largest decay, which ruins all.
MORE_SMOOTHINGS = (0.3, 0.5)
SETTINGS = {
    "data": "digits",
    "seed": 0,
    "labels": [50, 1200],
    "budgets": BUDGETS,
    "rates": RATES,
    # At every learning rate one side has these temperatures (∞: regression on the logits, λ = 1), 35 settings in all,
    # the other the weight decays and smoothings, 56 settings.
    "soft": [*((temperature, LAM) for temperature in TEMPERATURES), ("inf", 1.0)],
    "decays": DECAYS,
    "hard_rates": HARD_RATES,
    "smoothings": SMOOTHINGS,
    "more_smoothings": MORE_SMOOTHINGS,
    "search_seeds": list(range(1000, 1008)),
    "seeds": list(range(20)),
}
Accuracies = dict[str, dict[str, list]]


class World:
    """Data and teacher, and trainings of students with some number of labels, all at once."""

    def __init__(self):
        self.dataset = load(SETTINGS["data"], seed=SETTINGS["seed"])
        teacher = tuning.train_teacher(self.dataset, seed=SETTINGS["seed"])
        self.cache = cache_teacher(teacher, self.dataset.train)
        self.answers = teacher_logits(teacher, self.dataset.test)

    def train(
        self,
        labels: int,
        objective: Objective,
        seeds: list[int],
        lr: float,
        decay: float = 0.0,
        steps: int = BUDGETS[-1],
    ) -> Runs:
        """One student per seed, kept at all budgets on the way."""
        return fit_many(
            small_mlp,
            objective,
            subsets(self.dataset.train, labels, seeds),
            Recipe(steps=steps, lr=lr, weight_decay=decay),
            seeds=seeds,
            teacher=self.cache,
            keep=earlier(BUDGETS, steps),
            progress=False,
        )

    def score(self, runs: Runs, settings: int) -> Accuracies:
        """Accuracy in per cent, by part and budget: (settings, seeds)."""
        return {
            part: {
                str(steps): (100 * accuracy(each.logits(examples.inputs), examples.labels))
                .view(settings, -1)
                .numpy()
                .round(2)
                .tolist()
                for steps, each in runs.over(lambda runs: runs).items()
            }
            for part, examples in (
                ("validation", self.dataset.validation),
                ("test", self.dataset.test),
            )
        }

    def soft(self, labels: int, lr: float) -> Accuracies:
        """Every temperature at one learning rate, and last the regression on the logits."""
        seeds = SETTINGS["search_seeds"]
        temperatures, everyone = crossed(TEMPERATURES, seeds)
        runs = self.train(labels, soft_targets(PerStudent(temperatures), LAM), everyone, lr)
        mixed = self.score(runs, len(TEMPERATURES))
        return joined(mixed, self.score(self.train(labels, logits(), seeds, lr), 1))

    def hard(self, labels: int, lr: float, decay: float, smoothings: tuple[float, ...]) -> Accuracies:
        """Some smoothings at one learning rate and weight decay."""
        each, everyone = crossed(smoothings, SETTINGS["search_seeds"])
        runs = self.train(labels, smoothed_labels(PerStudent(each)), everyone, lr, decay)
        return self.score(runs, len(smoothings))

    def exam(
        self, labels: int, objective: Objective, lr: float, decay: float, steps: int
    ) -> dict[str, list[float]]:
        """Fresh students at one budget: the four diagnostic numbers in per cent, (seeds,) each."""
        seeds = SETTINGS["seeds"]
        runs = self.train(labels, objective, seeds, lr, decay, steps)
        seen = subsets(self.dataset.train, labels, seeds)
        return diagnosed(runs, seen, self.dataset.test, self.answers)

    def classical(self, labels: int) -> list[float]:
        """Logistic regression on the labelled images of the fresh students, test accuracy in per cent."""
        seen = subsets(self.dataset.train, labels, SETTINGS["seeds"])
        return rounded(trivial_baseline(seen, self.dataset.test))


def searched(study: Study, world: World, labels: int) -> dict[str, dict[str, Accuracies]]:
    """All settings of both sides: by side and by what one training has in common."""
    soft = {
        f"{lr:g}": study.kept(f"{labels} labels, soft, lr {lr:g}", partial(world.soft, labels, lr))
        for lr in RATES
    }
    hard = {}
    for lr, decay in product(HARD_RATES, DECAYS):
        name = f"{labels} labels, hard, lr {lr:g}, decay {decay:g}"
        here = study.kept(name, partial(world.hard, labels, lr, decay, SMOOTHINGS))
        if decay < DECAYS[-1]:
            more = partial(world.hard, labels, lr, decay, MORE_SMOOTHINGS)
            here = joined(here, study.kept(f"{name}, more smoothing", more))
        hard[f"{lr:g}, {decay:g}"] = here
    return {"soft": soft, "hard": hard}


def joined(first: Accuracies, second: Accuracies) -> Accuracies:
    """The settings of both, one after the other."""
    return {
        part: {steps: first[part][steps] + second[part][steps] for steps in first[part]} for part in first
    }


def best(found: dict[str, Accuracies], steps: int) -> tuple[str, int]:
    """The training and the place in it with the largest mean on the validation images."""
    means = {
        (key, place): np.mean(seeds)
        for key, each in found.items()
        for place, seeds in enumerate(each["validation"][str(steps)])
    }
    return max(means, key=lambda cell: means[cell])


def candidates(found: dict[str, dict[str, Accuracies]], steps: int) -> dict[str, tuple]:
    """What takes the exam: by name an objective, a learning rate, a weight decay, and the setting in numbers."""
    lr, place = best(found["soft"], steps)
    temperature, lam = SETTINGS["soft"][place]
    taught = logits() if temperature == "inf" else soft_targets(temperature, lam)
    both, place = best(found["hard"], steps)
    rate, decay = map(float, both.split(", "))
    smooth = (*SMOOTHINGS, *MORE_SMOOTHINGS)[place]
    return {
        "soft targets, tuned": (taught, float(lr), 0.0, [temperature, lam, float(lr)]),
        "hard labels, tuned": (smoothed_labels(smooth), rate, decay, [smooth, decay, rate]),
        "soft targets, T = 4, λ = 0.9": (soft_targets(4.0, 0.9), 5e-3, 0.0, [4.0, 0.9, 5e-3]),
        "hard labels": (hard_labels(), 5e-3, 0.0, [0.0, 0.0, 5e-3]),
    }


def examined(
    study: Study, world: World, labels: int, found: dict[str, dict[str, Accuracies]]
) -> dict[str, dict]:
    """What validation chose at each budget, and what nobody chose, on fresh students."""
    return {
        str(steps): {
            name: {"setting": setting}
            | study.kept(
                f"{labels} labels, {steps} steps, exam of {name}: {setting}",
                partial(world.exam, labels, objective, rate, decay, steps),
            )
            for name, (objective, rate, decay, setting) in candidates(found, steps).items()
        }
        for steps in BUDGETS
    }


def main() -> None:
    """Search both sides at every number of labels, and examine what was chosen.

    Numbers of labels as arguments measure these alone and write nothing: several processes can share the work.
    """
    study = Study("chapter_10", __doc__, SETTINGS)
    world, results = World(), {}
    for labels in map(int, sys.argv[1:] or SETTINGS["labels"]):
        found = searched(study, world, labels)
        results[str(labels)] = {
            "searched": found,
            "examined": examined(study, world, labels, found),
            "logistic regression": study.kept(
                f"{labels} labels, classical", partial(world.classical, labels)
            ),
        }
    if not sys.argv[1:]:
        study.write(results=results)


if __name__ == "__main__":
    main()

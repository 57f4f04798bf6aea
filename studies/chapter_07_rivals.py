"""``python -m studies.chapter_07_rivals``: noise on the inputs beside chapter 07's γ, and a weaker regressor.

The same students, labelled images and budgets as in ``studies.chapter_07``. On hard labels, noisy copies of the images
take the place of a penalty on slopes; the width of the noise is chosen among five, as there. The regressor, which chose
the smallest weight of its grid, may choose smaller ones.
"""

import argparse
from functools import partial

import torch

from course_lib.data import Examples, noisy_copies
from course_lib.measure import accuracy
from course_lib.models import alexnet
from course_lib.training import Recipe, Runs, fit_many, hard_labels, teacher_logits
from studies import chapter_07
from studies.study import Study
from studies.worlds import best, crossed, diagnosed, earlier, rounded

SETTINGS = {name: chapter_07.SETTINGS[name] for name in ("teacher", "student_width", "batch_size", "lr")} | {
    "budgets": chapter_07.SETTINGS["budgets"],
    "seeds": chapter_07.SETTINGS["seeds"],
    "chosen_at": chapter_07.SETTINGS["chosen_at"],
    "choosing_seeds": chapter_07.SETTINGS["choosing_seeds"],
    "worlds": [0, 1, 2],
    "labels": 50,
    "widths": [0.1, 0.2, 0.4, 0.8, 1.6],  # σ of the noise, in units of the normalised input
    "copies": 60,  # of each image
    "soft_targets": 4.0,  # T, as chosen in the first study
    "regressor": [0.001, 0.003, 0.01, 0.03, 0.1],  # weights of the layers, in the first world
}


class World(chapter_07.World):
    """A teacher on its split, and trainings on noisy images."""

    def noisy(self, sigma: float, seeds: list[int]) -> list[Examples]:
        """For every seed, noisy copies of its labelled images."""
        own = self.subsets(SETTINGS["labels"], seeds)
        index = torch.cat([each.index for each in own]).unique()
        train = self.digits.train
        seen = train.take(torch.isin(train.index, index).nonzero().flatten())
        copies = noisy_copies(seen, sigma, SETTINGS["copies"], seed=self.seed)
        origin = copies.index // SETTINGS["copies"]
        return [copies.take(torch.isin(origin, each.index).nonzero().flatten()) for each in own]

    def trained(self, sigma: float, seeds: list[int], steps: int) -> Runs:
        """One student per seed, kept at all budgets on the way."""
        return fit_many(
            partial(alexnet, self.digits.image_shape, 10, width=SETTINGS["student_width"], dropout=0.0),
            hard_labels(),
            self.noisy(sigma, seeds),
            Recipe(steps, SETTINGS["batch_size"], lr=SETTINGS["lr"]),
            seeds=seeds,
            keep=earlier(SETTINGS["budgets"], steps),
        )

    def tried(self, sigma: float) -> list[float]:
        """Accuracies in percent on validation images."""
        part = self.digits.validation
        runs = self.trained(sigma, SETTINGS["choosing_seeds"], SETTINGS["chosen_at"])
        return rounded(accuracy(runs.logits(part.inputs), part.labels))

    def examined(self, sigma: float) -> dict[str, dict[str, list[float]]]:
        """By budget, the four diagnostic numbers of every student, in percent."""
        seeds, test = list(range(SETTINGS["seeds"])), self.digits.test
        seen, answers = self.subsets(SETTINGS["labels"], seeds), teacher_logits(self.teacher, test)
        runs = self.trained(sigma, seeds, SETTINGS["budgets"][-1])
        return runs.over(lambda some: diagnosed(some, seen, test, answers))

    def weaker(self, weights: list[float]) -> list[list[float]]:
        """Accuracies in percent on validation images, for every weight of the regressor's layers."""
        seeds, part = SETTINGS["choosing_seeds"], self.digits.validation
        values, everyone = crossed(weights, seeds)
        chosen = {"soft targets": SETTINGS["soft_targets"], "regressor": values}
        runs = self.train("regressor", SETTINGS["labels"], chosen, everyone, SETTINGS["chosen_at"])
        right = rounded(accuracy(runs.logits(part.inputs), part.labels))
        return [right[place : place + len(seeds)] for place in range(0, len(right), len(seeds))]


def main() -> None:
    """Choose noise and weight in the first world; measure the noise in all worlds, the regressor in the first."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    what = "Narrow AlexNets on 50 digits with noise on the inputs, and with weaker regressors, in chapter 07's worlds"
    study, tried, students = Study("chapter_07_rivals", what, SETTINGS), {}, {}
    worlds = {number: World(study, number) for number in SETTINGS["worlds"]}
    weights = SETTINGS["regressor"]
    weaker = study.kept("regressor: choice", partial(worlds[0].weaker, weights))
    weight = best(weights, weaker)
    chosen = None
    for number, world in worlds.items():
        if chosen is None:
            tried = {
                f"{sigma:g}": study.kept(f"σ = {sigma:g}: choice", partial(world.tried, sigma))
                for sigma in SETTINGS["widths"]
            }
            chosen = float(max(tried, key=lambda sigma: sum(tried[sigma])))
        students[str(number)] = study.kept(f"world {number}, σ = {chosen:g}", partial(world.examined, chosen))
    given = {"soft targets": SETTINGS["soft_targets"], "regressor": weight}
    regressor = {
        "validation": dict(zip(map(str, weights), weaker, strict=True)),
        "chosen": weight,
        "students": worlds[0].students("regressor", SETTINGS["labels"], given),
    }
    study.write(validation=tried, chosen=chosen, students=students, regressor=regressor)


if __name__ == "__main__":
    main()

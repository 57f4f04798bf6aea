"""The exam of chosen settings and a search with the method among its knobs, at 50 labels, for notebook 10."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna
import torch

from course_lib import tuning
from course_lib.training import Recipe, teacher_logits
from course_lib.tuning import DEFAULT, HARD, Setting
from studies.study import Study
from studies.worlds import diagnosed, earlier, subsets

# The quick profile of the notebook, under its names.
KNOBS = {
    "seed": 0,
    "labels": 50,
    "steps": 4000,
    "grid_seeds": 6,
    "exam_seeds": 20,
    "trials": 16,
    "search_seeds": 12,
}
BUDGETS = [KNOBS["steps"] // 20, KNOBS["steps"] // 5, KNOBS["steps"]]
TEMPERATURES, LAMS = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0), (0.0, 0.5, 0.9, 1.0)
FIRST = 1000  # of the seeds that choose; those of the exam begin at 0
RECIPE = Recipe(steps=KNOBS["steps"], batch_size=32, optimizer="adam", lr=5e-3)
SETTINGS = {
    "knobs": KNOBS,
    "data": "digits",
    "budgets": BUDGETS,
    "temperatures": TEMPERATURES,
    "lams": LAMS,
    "searched_steps": BUDGETS[1],
    "first_seed": FIRST,
    "recipe": "Adam, learning rate 0.005, batches of 32",
}


class World:
    """The task of the notebook, and the answers of its teacher to the test images."""

    def __init__(self) -> None:
        self.task = tuning.prepare("digits", KNOBS["labels"], recipe=RECIPE, seed=KNOBS["seed"])
        teacher = tuning.train_teacher(self.task.dataset, seed=KNOBS["seed"])
        self.answers = teacher_logits(teacher, self.task.dataset.test)

    def chosen(self) -> list[list]:
        """What validation images choose from the grid at each budget: method, temperature and λ."""
        grids = tuning.train_grids(
            self.task,
            temperatures=TEMPERATURES,
            lams=LAMS,
            seeds=range(FIRST, FIRST + KNOBS["grid_seeds"]),
            keep=earlier(BUDGETS, RECIPE.steps),
            progress=False,
        )
        return [[each.best.method, each.best.temperature, each.best.lam] for each in grids.values()]

    def searched(self) -> list[dict]:
        """Every trial, in order: its setting and the validation accuracy in per cent by seed, until it was pruned."""
        middle = replace(self.task, recipe=replace(RECIPE, steps=BUDGETS[1]))
        found: dict[Setting, dict[str, float]] = {}

        def recorded(setting: Setting, seeds: Sequence[int]) -> np.ndarray:
            accuracies = middle.validate(setting, seeds)
            found.setdefault(setting, {}).update(zip(map(str, seeds), accuracies.tolist(), strict=True))
            return accuracies

        study = tuning.run_search(
            recorded,
            trials=KNOBS["trials"],
            seeds=range(FIRST, FIRST + KNOBS["search_seeds"]),
            chunk=KNOBS["search_seeds"] // 2,
            sampler=optuna.samplers.TPESampler(seed=KNOBS["seed"]),
        )
        best = tuning.best_setting(study)
        return [
            {"setting": [each.method, each.temperature, each.lam], "best": each == best, "validation": seeds}
            for each, seeds in found.items()
        ]

    def exam(self, setting: Setting) -> dict[str, dict[str, list[float]]]:
        """The four diagnostic numbers of fresh students, as shares, by budget."""
        seeds = list(range(KNOBS["exam_seeds"]))
        runs = self.task.train([setting], seeds, keep=earlier(BUDGETS, RECIPE.steps), progress=False)
        dataset = self.task.dataset
        seen = subsets(dataset.train, KNOBS["labels"], seeds)
        return {
            str(steps): diagnosed(runs.at(steps), seen, dataset.test, self.answers, places=None, scale=1)
            for steps in BUDGETS
        }


def main() -> None:
    """Choose by grid and by search, and examine what they chose, the default and hard labels."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    study, world = Study("chapter_10_search", __doc__, SETTINGS), World()
    chosen = study.kept("grid", world.chosen)
    trials = study.kept("search", world.searched)
    searched = {str(Setting(*each["setting"])): each["validation"] for each in trials}
    if len(searched) < len(trials):
        raise RuntimeError("two settings of the search have one name")
    chosen += [each["setting"] for each in trials if each["best"]]
    wanted = [HARD, DEFAULT, *(Setting(*each) for each in chosen)]
    examined = {
        str(each): study.kept(f"exam of {each}", lambda each=each: world.exam(each)) for each in wanted
    }
    study.write(searched=searched, examined=examined)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

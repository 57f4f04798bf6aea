"""``python -m studies.chapter_15``: does a small searcher learn more from a big one than from labels, over budgets?

Canvases with digits and clutter, two worlds (split, teacher, canvases). Few of the canvases are annotated, or many; the
big searcher also answers on canvases that nobody annotated. Takes about ten minutes on one quiet core. The file is
written after each world.
"""

import argparse
from functools import partial

import torch

from course_lib.data import Examples, load
from course_lib.data.canvases import Canvases, cut_windows, sample_windows, scatter
from course_lib.measure import count_found, diagnose, linear_searcher, read_maps
from course_lib.models import STRIDE, WINDOW, searcher
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Runs,
    cache_teacher,
    fit,
    fit_many,
    hard_labels,
    permuted_dark_knowledge,
    smoothed_labels,
    soft_targets,
    teacher_logits,
)
from studies.study import Study
from studies.worlds import crossed, diagnosed

BACKGROUND = 10
SETTINGS = {
    "layout": {"objects": 8, "size": 80, "gap": 4, "edge": 3, "clutter": 6},
    "canvases": {"annotated": 200, "few": 10, "unannotated": 200, "validation": 40, "test": 60},
    "digits": 600,  # on annotated canvases; the others of the training split are on the unannotated ones
    "per_object": 3,  # windows of background
    "big": {"steps": 2_000, "batch_size": 64, "lr": 1e-3, "schedule": "cosine"},
    "width": 1 / 8,
    "budgets": [200, 1_000, 4_000],
    # Which verdicts would longer trainings overturn? Fewer students, in the first world.
    "long": {
        "budgets": [1_000, 4_000, 16_000],
        "seeds": 4,
        "methods": ["unannotated, soft targets", "unannotated, hard answers", "many, labels"],
    },
    "batch_size": 32,
    "lr": 3e-3,
    "lam": 0.9,
    "seeds": 6,
    "chosen_at": 500,  # steps, in the first world, by students of their own
    "choosing_seeds": [100, 101],
    "grids": {"labels": [0.0, 0.05, 0.2], "soft": [1.0, 2.0, 4.0]},  # label smoothing; temperature
    "thresholds": [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99],
    "tolerance": 4.0,
    # By world, a split with its teacher. "few" and "many" are annotated canvases.
    "worlds": {
        "0": [
            "few, labels",
            "unannotated, soft targets",
            "unannotated, permuted",
            "unannotated, hard answers",
            "many, labels",
            "many, soft targets",
        ],
        "1": [
            "few, labels",
            "unannotated, soft targets",
            "unannotated, permuted",
            "unannotated, hard answers",
        ],
    },
}
SMALL = partial(searcher, BACKGROUND + 1, width=SETTINGS["width"])


def windows_of(canvases: Canvases) -> Examples:
    """All windows of the canvases."""
    return cut_windows(canvases, window=WINDOW, stride=STRIDE, background=BACKGROUND)


def sampled(windows: Examples, seed: int) -> Examples:
    """The windows to train on: those with an object, and some of background."""
    return sample_windows(windows, background=BACKGROUND, per_object=SETTINGS["per_object"], seed=seed)


def kind_of(method: str) -> str:
    """Whose settings a method has: those of labels, also of answers used as labels, or those of soft targets."""
    return "labels" if method.endswith(("labels", "answers")) else "soft"


class World:
    """A split, its canvases, the big searcher, and all trainings of small ones.

    Args:
        study: keeps what is measured.
        number: seed of the split, the canvases and the big searcher.
    """

    def __init__(self, study: Study, number: int):
        self._study, self._number = study, number
        digits, counts = load("digits", seed=number), SETTINGS["canvases"]
        known = digits.train.subset(SETTINGS["digits"], seed=number)
        new = ~torch.isin(digits.train.index, known.index)
        unknown = digits.train.take(new.nonzero().flatten())

        def lay(part: Examples, name: str, seed: int) -> Canvases:
            return scatter(part, canvases=counts[name], seed=seed, **SETTINGS["layout"])

        base = 10 * number
        self.validation = lay(digits.validation, "validation", base + 2)
        self.test = lay(digits.test, "test", base + 3)
        self.test_windows = sampled(windows_of(self.test), number)
        self.annotated = windows_of(lay(known, "annotated", base))
        self.many = sampled(self.annotated, number)
        recipe = Recipe(**SETTINGS["big"])
        self.big = fit(partial(searcher, BACKGROUND + 1), hard_labels(), self.many, recipe, seed=number).model
        unannotated = windows_of(lay(unknown, "unannotated", base + 1))
        # Nobody has annotated these: which windows are objects, the big searcher says.
        answers = teacher_logits(self.big, unannotated).argmax(dim=1)
        self.answered = sampled(
            Examples(unannotated.images, answers, unannotated.index, unannotated.mean, unannotated.std),
            number,
        )
        self._caches = {"annotated": cache_teacher(self.big, self.annotated)}
        self._caches["unannotated"] = cache_teacher(self.big, self.answered)
        self._caches["permuted"] = permuted_dark_knowledge(self._caches["unannotated"], seed=number)

    def examples(self, data: str, seed: int) -> Examples:
        """The windows that one student is trained on."""
        if data == "unannotated":
            return self.answered
        if data == "many":
            return self.many
        places = len(self.annotated) // SETTINGS["canvases"]["annotated"]
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randperm(SETTINGS["canvases"]["annotated"], generator=generator)
        rows = drawn[: SETTINGS["canvases"]["few"], None] * places + torch.arange(places)
        return sampled(self.annotated.take(rows.flatten().sort().values), seed)

    def train(self, method: str, setting: float | PerStudent, seeds: list[int], budgets: list[int]) -> Runs:
        """One student per seed, kept at all budgets."""
        data, what = method.split(", ")
        if what in ("labels", "hard answers"):
            objective: Objective = smoothed_labels(setting)
        else:
            objective = soft_targets(setting, 1.0 if data == "unannotated" else SETTINGS["lam"])
        cache = "permuted" if what == "permuted" else "unannotated" if data == "unannotated" else "annotated"
        return fit_many(
            SMALL,
            objective,
            [self.examples(data, seed) for seed in seeds],
            Recipe(budgets[-1], SETTINGS["batch_size"], lr=SETTINGS["lr"]),
            seeds=seeds,
            teacher=self._caches[cache],
            keep=budgets[:-1],
        )

    def counts(self, network: torch.nn.Module, where: Canvases) -> dict:
        """What a network finds, by threshold."""
        with torch.no_grad():
            maps = getattr(network, "score_map", network)(where.inputs)
        found = read_maps(maps, window=WINDOW, stride=STRIDE)
        return count_found(found, where, SETTINGS["thresholds"], SETTINGS["tolerance"])

    def searched(self, network: torch.nn.Module) -> dict:
        """F1 on test canvases at the threshold that is best on validation canvases, and all counts by threshold."""
        chosen = max(counts := self.counts(network, self.validation), key=lambda each: counts[each].f1)
        tested = self.counts(network, self.test)
        every = [[each.found, each.matched, each.named] for each in tested.values()]
        return {"threshold": chosen, "f1": round(100 * tested[chosen].f1, 2), "counts": every}

    def choose(self, method: str) -> tuple[float, list[float]]:
        """The setting that is best on validation windows, and the accuracies of all, in percent."""
        grid = SETTINGS["grids"][kind_of(method)]
        seeds, part = SETTINGS["choosing_seeds"], sampled(windows_of(self.validation), 0)

        def measure() -> list[float]:
            values, everyone = crossed(grid, seeds)
            runs = self.train(method, PerStudent(values), everyone, [SETTINGS["chosen_at"]])
            found = diagnose(runs, part, part).test.view(len(grid), -1).mean(dim=1)
            return (100 * found).tolist()

        scores = self._study.kept(f"world {self._number}, {method}: choice", measure)
        return grid[int(torch.tensor(scores).argmax())], scores

    def students(self, method: str, setting: float, sizes: dict) -> dict:
        """By budget, one number per seed, in percent; the counts of all students together at the last budget."""
        seeds, budgets = list(range(sizes["seeds"])), sizes["budgets"]

        def measure() -> dict:
            runs = self.train(method, setting, seeds, budgets)
            seen = [self.examples(method.split(", ")[0], seed) for seed in seeds]
            answers = teacher_logits(self.big, self.test_windows)
            found = {}
            for steps in runs.budgets:
                each = runs.at(steps)
                searched = [self.searched(each.model(number)) for number in range(len(seeds))]
                found[str(steps)] = diagnosed(each, seen, self.test_windows, answers) | {
                    "f1": [one["f1"] for one in searched]
                }
            together = torch.tensor([one["counts"] for one in searched]).sum(dim=0)
            return {"budgets": found, "counts": together.tolist()}

        return self._study.kept(f"world {self._number}, {method}, {setting}, {budgets[-1]} steps", measure)

    def baselines(self) -> dict:
        """The big searcher, and logistic regression on the same windows as the small ones."""

        def measure() -> dict:
            few = [
                self.searched(linear_searcher(self.examples("few", seed), STRIDE))
                for seed in range(SETTINGS["seeds"])
            ]
            return {
                "big": self.searched(self.big),
                "logistic regression, few": {
                    "f1": [one["f1"] for one in few],
                    "counts": torch.tensor([one["counts"] for one in few]).sum(dim=0).tolist(),
                },
                "logistic regression, many": self.searched(linear_searcher(self.many, STRIDE)),
            }

        return self._study.kept(f"world {self._number}, baselines", measure)


def main() -> None:
    """Measure world after world, and write after each; then the longer trainings in the first."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    study = Study("chapter_15", "Small searchers: labels and a big searcher's answers over budgets", SETTINGS)
    results, chosen, scores = {}, {}, {}
    worlds = {name: World(study, int(name)) for name in SETTINGS["worlds"]}
    for name, world in worlds.items():
        results[name] = {"baselines": world.baselines()}
        for kind, method in (("labels", "few, labels"), ("soft", "unannotated, soft targets")):
            if kind not in chosen:
                chosen[kind], scores[kind] = world.choose(method)
        results[name]["methods"] = {
            method: world.students(method, chosen[kind_of(method)], SETTINGS)
            for method in SETTINGS["worlds"][name]
        }
        study.write(chosen=chosen, validation=scores, worlds=results)
    long = SETTINGS["long"]
    results["0"]["long"] = {
        method: worlds["0"].students(method, chosen[kind_of(method)], long) for method in long["methods"]
    }
    study.write(chosen=chosen, validation=scores, worlds=results)


if __name__ == "__main__":
    main()

"""``python -m benchmarks.tutorial_pair``: the pair of PyTorch's knowledge-distillation tutorial, its time used better.

First the tutorial as its text describes it, with several seeds. Then the same student for the wall-clock time of the
tutorial's loop, in which the teacher answers at every step: here its answers are kept, so that most of that time is
left for training. Hard labels get the same time. Takes about four hours on two cores, resumes where it was stopped,
and writes ``data/results/tutorial_pair_cpu.json``.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from benchmarks.teacher_cache import (
    BATCH,
    live_teacher_epoch,
    student_network,
    teacher_network,
    usual_loader,
)
from benchmarks.timing import take_turns, timed
from course_lib.data import Dataset, Views, load
from course_lib.files import save_atomically, write_json
from course_lib.measure import accuracy, compare
from course_lib.models import HalfPrecision
from course_lib.provenance import provenance
from course_lib.training import (
    Checkpoints,
    Objective,
    Recipe,
    TeacherCache,
    cache_teacher,
    fit,
    hard_labels,
    named_objective,
    soft_targets,
    teacher_logits,
)

SEEDS = range(3)
LR = 1e-3  # of Adam, in the tutorial and for the better teacher
EPOCHS, TEACHER_EPOCHS = 10, 30
ALL_VIEWS = Views()  # what the better teacher, and hard labels, are trained on
TIMED_IMAGES = 4096


@dataclass(frozen=True)
class Way:
    """A way to spend the time: what is trained for, and on which views the teacher is asked."""

    losses: dict[str, float]
    views: Views
    temperature: float = 4.0

    @property
    def objective(self) -> Objective:
        return named_objective(self.losses, temperature=self.temperature, estimator="hutchinson")

    @property
    def asks(self) -> bool:
        return any(source.name.startswith("teacher") for source in self.objective.sources)


FLIPS, SHIFTS = Views(pad=0), Views(pad=4, stride=4)
SOFT = {"hard": 0.1, "soft_target": 0.9}
HARD = Way({"hard": 1.0}, ALL_VIEWS)
HARD_FEWER = Way({"hard": 1.0}, SHIFTS)  # tells what fewer views cost from what the teacher brings
# The best of these on validation data is compared on test data.
WAYS = {
    "soft targets, 2 views": Way(SOFT, FLIPS),
    "soft targets, 18 views": Way(SOFT, SHIFTS),
    "soft targets, 18 views, T = 2": Way(SOFT, SHIFTS, 2.0),
    "logits, 18 views": Way({"logit": 1.0}, SHIFTS),
    "soft targets and input gradient, 18 views": Way(SOFT | {"input_gradient": 0.001}, SHIFTS),
}


class Study:
    """All trainings, each kept in the folder under its name."""

    def __init__(self, folder: Path, dataset: Dataset):
        self.folder, self.data = folder, dataset
        self.fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
        folder.mkdir(parents=True, exist_ok=True)

    def kept(self, name: str, make: Callable[[], dict]) -> dict:
        """What was made earlier under the name, else made now; other settings want another folder."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            made = make()
            write_json(path, made)
            print(name, made, flush=True)
        return json.loads(path.read_text(encoding="utf-8"))

    def teacher(self, name: str, epochs: int, views: Views | None, schedule: str) -> tuple[nn.Module, dict]:
        """A teacher trained on all labels, and its accuracies."""
        path, network = self.folder / f"{name}.pt", teacher_network()

        def train() -> dict:
            recipe = self.recipe(epochs, lr=LR, schedule=schedule)
            run = fit(
                lambda: teacher_network().to(memory_format=torch.channels_last),
                hard_labels(),
                self.data.train,
                recipe,
                views=views,
                fabric=self.fabric,
                checkpoints=Checkpoints(self.folder / name, every=recipe.steps // epochs),
            )
            save_atomically(path, run.model.state_dict())
            return self.examined(run.model, test=True)

        accuracies = self.kept(name, train)
        network.load_state_dict(torch.load(path, weights_only=True))
        return network.to(memory_format=torch.channels_last).eval(), accuracies

    def student(
        self, name: str, objective: Objective, recipe: Recipe, seed: int, *, test: bool = True, **settings
    ) -> dict:
        def train() -> dict:
            return self.examined(
                fit(
                    lambda: student_network().to(memory_format=torch.channels_last),
                    objective,
                    self.data.train,
                    recipe,
                    seed=seed,
                    fabric=self.fabric,
                    **settings,
                ).model,
                test,
            )

        return self.kept(f"{name}, seed {seed}", train)

    def recipe(self, epochs: float, lr: float, schedule: str) -> Recipe:
        steps = round(epochs * (len(self.data.train) // BATCH))
        return Recipe(steps=steps, batch_size=BATCH, lr=lr, schedule=schedule)

    def examined(self, network: nn.Module, test: bool) -> dict:
        """Accuracies in percent."""
        parts = {"validation": self.data.validation} | ({"test": self.data.test} if test else {})
        return {
            name: 100 * float(accuracy(teacher_logits(network, part), part.labels))
            for name, part in parts.items()
        }

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Of one epoch of each loop, and of asking the teacher about one view of all images."""
        return self.kept("seconds", self._time)

    def _time(self) -> dict[str, float]:
        """The median over rounds in which all take turns, on a part of the images."""
        some = self.data.train.take(torch.arange(TIMED_IMAGES))
        recipe = Recipe(steps=TIMED_IMAGES // BATCH, batch_size=BATCH, lr=LR)
        loader = usual_loader(some, augment=False)
        answers = HalfPrecision(teacher_network().to(memory_format=torch.channels_last))
        known = {views: cache_teacher(answers, some, views=views) for views in (FLIPS, SHIFTS)}

        def trained(way: Way) -> Callable[[], float]:
            return lambda: (
                fit(
                    lambda: student_network().to(memory_format=torch.channels_last),
                    way.objective,
                    some,
                    recipe,
                    teacher=known.get(way.views),
                    views=way.views,
                    fabric=self.fabric,
                ).seconds
            )

        contestants = {
            "tutorial": lambda: timed(
                lambda: live_teacher_epoch(loader, teacher_network().eval(), student_network())
            ),
            "one view": lambda: timed(lambda: cache_teacher(answers, some, views=FLIPS)) / len(FLIPS),
            "hard": trained(HARD),
        } | {name: trained(way) for name, way in WAYS.items()}
        scale = len(self.data.train) / TIMED_IMAGES
        return {name: scale * statistics.median(turns) for name, turns in take_turns(contestants, 5).items()}

    def epochs(self, name: str, way: Way, at_hand: bool = False) -> float:
        """How many fit into the time of the tutorial's loop, after the teacher has been asked, or was long before."""
        asking = len(way.views) * self.seconds["one view"] if way.asks and not at_hand else 0.0
        epoch = self.seconds[name if way.asks else "hard"]  # which views are drawn takes no time
        return (EPOCHS * self.seconds["tutorial"] - asking) / epoch

    def best_way(self, taught: dict[Views, TeacherCache]) -> tuple[str, dict[str, float]]:
        """The name of the best on validation data, one seed each, and all their accuracies."""
        found = {
            name: self.spend(name, way, 0, taught, test=False)["validation"] for name, way in WAYS.items()
        }
        return max(found, key=found.get), found

    def spend(
        self, name: str, way: Way, seed: int, taught: dict, *, test: bool = True, at_hand: bool = False
    ) -> dict:
        """One student for the tutorial's time; for choosing, half the epochs."""
        epochs = self.epochs(name, way, at_hand) / (1 if test else 2)
        recipe = self.recipe(epochs, lr=2e-3, schedule="cosine")
        label = (name if test else f"choosing {name}") + (", at hand" if at_hand else "")
        teacher = taught[way.views] if way.asks else None
        return self.student(label, way.objective, recipe, seed, test=test, views=way.views, teacher=teacher)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/tutorial_pair"))
    options = parser.parse_args()
    study = Study(options.folder, load("cifar10"))
    seconds = study.seconds
    plain, plain_accuracies = study.teacher("teacher of the tutorial", EPOCHS, None, "constant")
    better, better_accuracies = study.teacher("better teacher", TEACHER_EPOCHS, ALL_VIEWS, "cosine")
    recipe = study.recipe(EPOCHS, lr=LR, schedule="constant")
    known = cache_teacher(plain, study.data.train)
    results = {
        "tutorial, hard labels": [
            study.student("tutorial, hard labels", hard_labels(), recipe, seed) for seed in SEEDS
        ],
        "tutorial, soft targets": [
            study.student(
                "tutorial, soft targets",
                soft_targets(2.0, 0.25),
                recipe,
                seed,
                teacher=known,
            )
            for seed in SEEDS
        ],
    }
    taught = {
        views: cache_teacher(
            HalfPrecision(better), study.data.train, views=views, directory=options.folder / "answers"
        )
        for views in (FLIPS, SHIFTS)
    }
    best, validation = study.best_way(taught)
    results["same time, hard labels"] = [study.spend("hard", HARD, seed, taught) for seed in SEEDS]
    results["same time, hard labels, 18 views"] = [
        study.spend("hard, 18 views", HARD_FEWER, seed, taught) for seed in SEEDS
    ]
    results["same time, ours"] = [study.spend(best, WAYS[best], seed, taught) for seed in SEEDS]
    # The answers serve every further student: what one of these reaches in the same time.
    results["same time, ours, answers at hand"] = [
        study.spend(best, WAYS[best], seed, taught, at_hand=True) for seed in SEEDS
    ]
    tests = {name: [each["test"] for each in several] for name, several in results.items()}
    comparisons = {
        f"{candidate} − {baseline}": asdict(compare(tests[candidate], tests[baseline]))
        for candidate, baseline in (
            ("tutorial, soft targets", "tutorial, hard labels"),
            ("same time, ours", "tutorial, hard labels"),
            ("same time, hard labels", "tutorial, hard labels"),
            ("same time, ours", "same time, hard labels"),
            ("same time, ours, answers at hand", "same time, hard labels"),
            ("same time, ours, answers at hand", "same time, hard labels, 18 views"),
        )
    }
    written = {
        "what": "the pair of PyTorch's distillation tutorial, and its student trained better in the same time",
        "data": study.data.title,
        "command": "python -m benchmarks.tutorial_pair",
        "settings": {
            "batch_size": BATCH,
            "tutorial": {"epochs": EPOCHS, "optimizer": "adam", "lr": 1e-3, "temperature": 2, "soft": 0.25},
            "same time": {"optimizer": "adam", "lr": 2e-3, "schedule": "cosine"},
            "better teacher": {"epochs": TEACHER_EPOCHS, "views": len(ALL_VIEWS), "schedule": "cosine"},
            "precision": "bf16-mixed; the tutorial's loop was timed in float32, as it stands",
        },
        "seeds": list(SEEDS),
        "seconds_per_epoch": seconds,
        "epochs_in_the_same_time": {
            "hard": study.epochs("hard", HARD),
            **{name: study.epochs(name, way) for name, way in WAYS.items()},
            "answers at hand": study.epochs(best, WAYS[best], at_hand=True),
        },
        "teachers": {"tutorial": plain_accuracies, "better": better_accuracies},
        "validation_by_way": validation,
        "chosen": best,
        "results": results,
        "comparisons": comparisons,
    } | provenance()
    target = Path("data/results/tutorial_pair_cpu.json")
    write_json(target, written)
    print(f"written to {target}")


if __name__ == "__main__":
    main()

"""The settings of a distillation, as plain values: from the command line, a notebook or a file."""

from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from course_lib.data import NAMES, Dataset, Views, from_folder, load
from course_lib.data.splits import check_seed
from course_lib.errors import (
    CourseError,
    check_below_one,
    check_choice,
    check_count,
    check_not_negative,
    check_number,
    check_positive,
)
from course_lib.fields import check_settings, described, setting
from course_lib.losses.jacobian import ESTIMATORS
from course_lib.training import Objective, Recipe, named_objective

_TEST = 0.2  # of the pictures of a folder that does not say which are for the test
_of_losses = partial(setting, of_losses=True)  # given to every loss of the plan that has it


def _check_data(**values: Any) -> None:
    for name, value in values.items():
        if value not in NAMES and not Path(value).is_dir():
            raise CourseError(
                f"{name} must be one of {', '.join(NAMES)}, or a folder of pictures, got {value!r}"
            )


def _check_flag(**values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, bool):
            raise CourseError(f"{name} must be True or False, got {value!r}")


_check_share = partial(check_number, "a number between 0 and 1", lambda value: 0 < value < 1)


@described
@dataclass(frozen=True)
class Plan:
    """The settings of one distillation; the defaults are the article's, with CIFAR-10 and AlexNet.

    The losses' names are those of ``course_lib.training.LOSSES``. If no share for validation is given, it is an
    eighth of a folder's pictures outside the test. With 0 epochs, a teacher of your own is used exactly as its function
    returns it. Labelled images are balanced by class and drawn again for each student; the teacher sees all images.
    "auto" augments photographs but not digits, and asks the teacher in the way that costs less. S has one column
    ("cross_entropy"), or C columns ("class") from the teacher's answers to all training images.

    Raises:
        CourseError: a value that makes no plan.
    """

    data: str = setting(
        "cifar10",
        "A name from: course data list. Or a folder with one subfolder of pictures for each class.",
        _check_data,
    )
    size: int = setting(32, "Side of the square that a folder's pictures become, in pixels.", check_count)
    validation: float | None = setting(
        None,
        "Share of images set aside for validation; if not given, a tenth of CIFAR-10's.",
        _check_share,
    )
    losses: tuple[tuple[str, float], ...] = setting(
        (("hard", 0.1), ("soft_target", 0.9)),
        "A loss of the student; repeat the option for a sum",
        flags=("--loss",),
        metavar="NAME=WEIGHT",
    )
    temperature: float = _of_losses(
        5.0, "T of the soft targets.", check_positive, flags=("--temperature", "-T")
    )
    epochs: int = setting(100, "Epochs of the student's training.", check_count)
    batch_size: int = setting(128, "Examples per step, over all processes.", check_count)
    optimizer: str = setting("adam", "sgd, momentum (0.9), rmsprop, adam or adamw.")
    lr: float = setting(1e-3, "Learning rate at the start.", check_positive)
    weight_decay: float = setting(0.0, "L2 penalty of the weights.")
    schedule: str = setting("cosine", "constant, or cosine down to 0.")
    teacher_epochs: int | None = setting(
        None, "Epochs of the teacher's training; as the student's if not given.", partial(check_count, 0)
    )
    teacher_optimizer: str | None = setting(None, "Optimizer of the teacher; the student's if not given.")
    teacher_lr: float | None = setting(
        None, "Learning rate of the teacher at the start; the student's if not given.", check_positive
    )
    checkpoint_every: int = setting(
        10, "Epochs between two checkpoints, and between two looks at the validation data.", check_count
    )
    teacher_width: float = setting(1.0, "Factor of the channels of the teacher's AlexNet.", check_positive)
    student_width: float = setting(0.25, "Factor of the channels of the student's AlexNet.", check_positive)
    dropout: float = setting(0.5, "Dropout of the teacher; the student has none.", check_below_one)
    labels: int | None = setting(None, "Labelled images for the student; all if not given.", check_count)
    seeds: int = setting(1, "Number of students.", check_count)
    seed: int = setting(0, "Seed of the teacher and the first student; the others have the next seeds.")
    baseline: bool = setting(False, "Also train on hard labels alone, and compare.", _check_flag)
    augment: str = setting(
        "auto", "Shift and mirror images: auto, yes or no.", partial(check_choice, ("auto", "yes", "no"))
    )
    shift: int = setting(4, "Largest shift in pixels.")
    stride: int = setting(1, "Shifts are multiples of this number of pixels.")
    answers: str = setting(
        "auto",
        "When to ask the teacher: auto, cached (once, about all views) or live (at every step, as gradient losses with "
        "augmentation always do).",
        partial(check_choice, ("auto", "cached", "live")),
    )
    soft_matrix: str = setting(
        "cross_entropy",
        "S of gradient losses: cross_entropy or class.",
        partial(check_choice, ("cross_entropy", "class")),
    )
    estimator: str = _of_losses(
        "exact",
        "How to compute gradient losses: exact, or hutchinson (one backward pass for all of S).",
        partial(check_choice, ESTIMATORS),
    )
    target_norm: float = _of_losses(1.0, "α of the gradient penalty.", check_not_negative)
    smoothing: float = _of_losses(0.1, "ε of the smoothed labels.", check_below_one)

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", _pairs(self.losses))
        check_settings(self)
        check_seed(self.seed)
        check_seed(self.seed + self.seeds - 1)
        # Made once, so that a wrong value is answered before anything is trained.
        _ = self.objective(), self.recipe(1000), self.teacher_recipe(1000), Views(self.shift, self.stride)

    def values(self) -> dict[str, Any]:
        """All settings as values that JSON knows."""
        return asdict(self) | {"losses": [list(pair) for pair in self.losses]}

    def objective(self) -> Objective:
        """What the student is trained for."""
        settings = {
            each.name: getattr(self, each.name) for each in fields(self) if "of_losses" in each.metadata
        }
        return named_objective(self.losses, **settings)

    @property
    def student_seeds(self) -> range:
        """One for each student."""
        return range(self.seed, self.seed + self.seeds)

    def recipe(self, examples: int) -> Recipe:
        """How a student is trained on this many examples."""
        return self._recipe(examples, self.epochs, self.optimizer, self.lr)

    def teacher_recipe(self, examples: int) -> Recipe:
        """How the teacher is trained on this many examples."""
        lr = self.lr if self.teacher_lr is None else self.teacher_lr
        optimizer = self.optimizer if self.teacher_optimizer is None else self.teacher_optimizer
        return self._recipe(examples, self.teacher_epochs or self.epochs, optimizer, lr)

    def _recipe(self, examples: int, epochs: int, optimizer: str, lr: float) -> Recipe:
        steps = self.steps_per_epoch(examples) * epochs
        return Recipe(steps, self.batch_size, optimizer, lr, self.weight_decay, self.schedule)

    def steps_per_epoch(self, examples: int) -> int:
        """Whole batches in this many examples, at least one."""
        return max(1, examples // self.batch_size)

    def dataset(self) -> Dataset:
        """The data, read.

        Raises:
            CourseError: as in ``load`` and ``from_folder``.
        """
        if self.data in NAMES:
            return load(self.data, validation=self.validation)
        rest, share = 1 - _TEST, 1 / 8 if self.validation is None else self.validation
        return from_folder(self.data, self.size, shares=(rest * (1 - share), rest * share, _TEST))

    def views(self, dataset: Dataset) -> Views | None:
        """The augmentation for a data set: of photographs, but not of digits, which a shift pushes out of 8 × 8 pixels.

        Raises:
            CourseError: shifts by which nothing of the images would be left.
        """
        pictures = dataset.train.images.dtype == torch.uint8
        if self.augment == "no" or (self.augment == "auto" and (dataset.name == "digits" or not pictures)):
            return None
        side = min(dataset.image_shape[1:])
        if self.shift >= side:
            raise CourseError(
                f"shift must be below the side of the images, {side} pixels of {dataset.title}, got {self.shift}"
            )
        return Views(self.shift, self.stride, flip=dataset.name != "digits")


def _pairs(losses: Any) -> tuple[tuple[str, float], ...]:
    try:
        return tuple((name, float(weight)) for name, weight in losses)
    except (TypeError, ValueError):
        raise CourseError(
            f"losses must be pairs of a name and a weight, such as [('hard', 0.1)], got {losses!r}"
        ) from None

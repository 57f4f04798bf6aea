"""The settings of a distillation, as plain values: from the command line, a notebook or a file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from course_lib.data import NAMES, Dataset, Views, from_folder, load
from course_lib.data.splits import check_seed
from course_lib.errors import (
    CourseError,
    check_below_one,
    check_count,
    check_not_negative,
    check_number,
    check_positive,
)
from course_lib.losses.jacobian import ESTIMATORS
from course_lib.training import Objective, Recipe, named_objective

SOFT_MATRICES = ("cross_entropy", "class")
ANSWERS = ("auto", "cached", "live")
_TEST = 0.2  # of the pictures of a folder that does not say which are for the test


@dataclass(frozen=True)
class Plan:
    """The settings of one distillation; the defaults are the article's, with CIFAR-10 and AlexNet.

    Attributes:
        data: name of the data set, as for ``course_lib.data.load``; or a folder of pictures, as for
            ``course_lib.data.from_folder``.
        size: of the square that every picture of a folder becomes, in pixels.
        validation: share of the images, those for the test apart, that are set aside for validation; as ``load`` does
            without one if None, a tenth of CIFAR-10's; an eighth of a folder's.
        losses: of the student, names of ``course_lib.training.LOSSES`` with their weights.
        temperature: T of the losses that have one.
        epochs, optimizer, lr: of the student's training, and of the teacher's where nothing else is said for it.
        batch_size, weight_decay, schedule: of both trainings.
        teacher_epochs, teacher_optimizer, teacher_lr: of the teacher's training; the student's if None. With 0 epochs a
            teacher of one's own is taken as its function makes it.
        checkpoint_every: epochs between two checkpoints, and between two looks at the validation data.
        teacher_width, student_width: factor of AlexNet's channels and hidden units.
        dropout: of the teacher; the student has none.
        labels: number of training images with labels, balanced by class, another draw for each student; all if None.
            The teacher sees all.
        seeds: number of students, with the seeds ``seed``, ``seed`` + 1, ….
        seed: of the teacher and the first student.
        baseline: also train each student on hard labels alone, with the same seed and budget.
        augment: draw shifted and mirrored views; "auto" does so for photographs, not for digits.
        shift: largest shift in pixels. stride: shifts are its multiples.
        answers: "cached" asks the teacher about all views once, "live" at every step, "auto" takes what is less work;
            losses of gradients are always answered live where there are views.
        soft_matrix: S of the losses of gradients: "cross_entropy" (one column) or "class" (C columns, from the
            teacher's answers to all training images).
        estimator: of the losses of gradients that have one: "exact", or "hutchinson" with one backward pass for all
            columns of S.
        target_norm: α of the gradient penalty.
        smoothing: ε of the smoothed labels.

    Raises:
        CourseError: a value that makes no plan.
    """

    data: str = "cifar10"
    size: int = 32
    validation: float | None = None
    losses: tuple[tuple[str, float], ...] = (("hard", 0.1), ("soft_target", 0.9))
    temperature: float = 5.0
    epochs: int = 100
    batch_size: int = 128
    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    teacher_epochs: int | None = None
    teacher_optimizer: str | None = None
    teacher_lr: float | None = None
    checkpoint_every: int = 10
    teacher_width: float = 1.0
    student_width: float = 0.25
    dropout: float = 0.5
    labels: int | None = None
    seeds: int = 1
    seed: int = 0
    baseline: bool = False
    augment: str = "auto"
    shift: int = 4
    stride: int = 1
    answers: str = "auto"
    soft_matrix: str = "cross_entropy"
    estimator: str = "exact"
    target_norm: float = 1.0
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", _pairs(self.losses))
        check_count(epochs=self.epochs, batch_size=self.batch_size, seeds=self.seeds)
        check_count(checkpoint_every=self.checkpoint_every)
        check_count(size=self.size)
        check_count(**({} if self.labels is None else {"labels": self.labels}))
        check_count(0, **({} if self.teacher_epochs is None else {"teacher_epochs": self.teacher_epochs}))
        if self.data not in NAMES and not Path(self.data).is_dir():
            raise CourseError(
                f"data must be one of {', '.join(NAMES)}, or a folder of pictures, got {self.data!r}"
            )
        choices = {
            "answers": ANSWERS,
            "estimator": ESTIMATORS,
            "soft_matrix": SOFT_MATRICES,
            "augment": ("auto", "yes", "no"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise CourseError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        check_positive(
            teacher_width=self.teacher_width,
            student_width=self.student_width,
            temperature=self.temperature,
            lr=self.lr,
            teacher_lr=self.lr if self.teacher_lr is None else self.teacher_lr,
        )
        check_not_negative(target_norm=self.target_norm)
        check_below_one(dropout=self.dropout, smoothing=self.smoothing)
        if self.validation is not None:
            check_number("a number between 0 and 1", lambda value: 0 < value < 1, validation=self.validation)
        if not isinstance(self.baseline, bool):
            raise CourseError(f"baseline must be True or False, got {self.baseline!r}")
        check_seed(self.seed)
        check_seed(self.seed + self.seeds - 1)
        # Made once, so that a wrong value is answered before anything is trained.
        _ = self.objective(), self.recipe(1000), self.teacher_recipe(1000), Views(self.shift, self.stride)

    def values(self) -> dict[str, Any]:
        """All settings as values that JSON knows."""
        return asdict(self) | {"losses": [list(pair) for pair in self.losses]}

    def objective(self) -> Objective:
        """What the student is trained for."""
        return named_objective(
            self.losses,
            temperature=self.temperature,
            estimator=self.estimator,
            target_norm=self.target_norm,
            smoothing=self.smoothing,
        )

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

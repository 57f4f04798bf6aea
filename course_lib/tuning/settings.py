"""What is tuned: methods with their temperature and λ, and the students that show how good a setting is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import nn

from course_lib.data import Dataset, Examples, load
from course_lib.errors import CourseError, check_choice, check_positive
from course_lib.matrices import class_soft_matrix
from course_lib.measure import accuracy
from course_lib.models import cnn_teacher, small_mlp
from course_lib.progress import Progress
from course_lib.training import (
    METHODS,
    Checkpoints,
    Objective,
    PerStudent,
    Recipe,
    Runs,
    TeacherCache,
    cache_teacher,
    fit,
    fit_many,
    hard_labels,
    teacher_logits,
)


@dataclass(frozen=True)
class Setting:
    """One point of what is searched.

    Attributes:
        method: a title of ``METHODS``, or a name.
        temperature: T > 0; counts where ``METHODS[method].softens``.
        lam: λ ≥ 0, where ``METHODS[method].formula`` has it; at most 1 in a mix, as the weight of the teacher's side.

    Raises:
        CourseError: an unknown method, a number outside its range.
    """

    method: str = "soft targets"
    temperature: float = 4.0
    lam: float = 0.9

    def __post_init__(self) -> None:
        check_choice(METHODS, method=self.method)
        object.__setattr__(self, "method", METHODS[self.method].title)
        check_positive(temperature=self.temperature)
        mixes = METHODS[self.method].mixes
        if not 0 <= self.lam <= (1 if mixes else float("inf")) or self.lam == float("inf"):
            expected = "lie in [0, 1]" if mixes else "be a finite number of at least 0"
            raise CourseError(f"lam must {expected} for {self.method}, got {self.lam!r}")

    def __str__(self) -> str:
        method = METHODS[self.method]
        knobs = [f"T = {self.temperature:.3g}"] * method.softens + [f"λ = {self.lam:.3g}"] * bool(method.lams)
        return ", ".join([self.method, *knobs])


# The course's teacher, as in notebook 02, and the S of notebook 04.
TEACHER_RECIPE = Recipe(steps=400, batch_size=64, lr=2e-3, schedule="cosine")
MATRIX_TEMPERATURE = 4.0

HARD = Setting("hard labels")
DEFAULT = Setting("soft targets", 4.0, 0.9)


def objective(settings: Sequence[Setting]) -> Objective:
    """What one student per setting is trained for, all at once.

    Raises:
        CourseError: no settings, or settings of several methods, which have different losses.
    """
    methods = {setting.method for setting in settings}
    if len(methods) != 1:
        raise CourseError(f"settings must be of one method, got {', '.join(sorted(methods)) or 'none'}")
    temperatures = PerStudent(setting.temperature for setting in settings)
    return METHODS[methods.pop()].objective(temperatures, PerStudent(setting.lam for setting in settings))


@dataclass(frozen=True, eq=False)
class Task:
    """What the settings are tried on: small students with few labels, a teacher, a budget.

    Attributes:
        dataset: its train part is drawn from, its validation part chooses, its test part is read at the end.
        teacher: the cache of its answers to the train part; with a soft matrix where a loss of gradients is tried.
        labels: number of labelled images of each student.
        recipe: the training, the same for every setting.
    """

    dataset: Dataset
    teacher: TeacherCache
    labels: int
    recipe: Recipe

    def train(
        self,
        settings: Sequence[Setting],
        seeds: Sequence[int],
        *,
        keep: Iterable[int] = (),
        progress: bool | Progress = True,
        checkpoints: Checkpoints | None = None,
    ) -> Runs:
        """Train every setting with every seed, all students at once, in the order of settings, then seeds.

        A seed chooses the labelled images, the first weights and the batches, so settings are compared in pairs.

        Args:
            settings: of one method.
            seeds: the same for every setting.
            keep, progress, checkpoints: as in ``fit_many``.

        Raises:
            CourseError: no seeds, or settings of several methods.
        """
        examples = {seed: self.dataset.train.subset(self.labels, seed=seed) for seed in seeds}
        students = [(setting, seed) for setting in settings for seed in seeds]
        return fit_many(
            partial(small_mlp, self.dataset.image_shape, self.dataset.num_classes),
            objective([setting for setting, _ in students]),
            [examples[seed] for _, seed in students],
            self.recipe,
            seeds=[seed for _, seed in students],
            teacher=self.teacher,
            progress=progress,
            keep=keep,
            checkpoints=checkpoints,
        )

    def validate(self, setting: Setting, seeds: Sequence[int]) -> np.ndarray:
        """Train one setting with some seeds; the validation accuracy of each in per cent, (seeds,)."""
        return self.validation(self.train([setting], seeds, progress=False))

    def validation(self, runs: Runs) -> np.ndarray:
        """Accuracy of every student on the validation images, in per cent, (students,)."""
        return _percent(runs, self.dataset.validation)

    def test(self, runs: Runs) -> np.ndarray:
        """Accuracy of every student on the test images, in per cent, (students,). To be read once."""
        return _percent(runs, self.dataset.test)


def prepare(data: str, labels: int, *, recipe: Recipe, seed: int = 0) -> Task:
    """The course's usual task: a data set by name, its convolutional teacher, and S at temperature 4.

    Args:
        data: as for ``course_lib.data.load``.
        labels: number of labelled images of each student.
        recipe: of the students.
        seed: of the split and of the teacher.

    Raises:
        CourseError: no such data set, or none on this machine; or labels is out of range.
    """
    dataset = load(data, seed=seed)
    least, most = dataset.num_classes, len(dataset.train)
    if not least <= labels <= most:  # before the teacher is trained
        raise CourseError(f"labels must be from {least} (one for each class) to {most} (all), got {labels}")
    teacher = train_teacher(dataset, seed=seed)
    answers = teacher_logits(teacher, dataset.train)
    matrix = class_soft_matrix(answers, dataset.train.labels, MATRIX_TEMPERATURE, dataset.num_classes)
    cache = cache_teacher(teacher, dataset.train, soft_matrix=matrix)
    return Task(dataset, cache, labels, recipe)


def train_teacher(dataset: Dataset, *, seed: int = 0) -> nn.Module:
    """The convolutional teacher of ``prepare``: the same data set and seed, the same network."""
    build = partial(cnn_teacher, dataset.image_shape, dataset.num_classes)
    return fit(build, hard_labels(), dataset.train, TEACHER_RECIPE, seed=seed).model


def _percent(runs: Runs, part: Examples) -> np.ndarray:
    return 100 * accuracy(runs.logits(part.inputs), part.labels).numpy()

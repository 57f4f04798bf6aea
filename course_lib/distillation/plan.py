"""What a distillation is to be, as plain values: from the command line, a notebook or a file."""

from dataclasses import asdict, dataclass
from typing import Any

from course_lib.data import Dataset, Views
from course_lib.errors import CourseError
from course_lib.losses._common import check_positive
from course_lib.losses._jacobian import ESTIMATORS
from course_lib.training import Objective, Recipe, named_objective

SOFT_MATRICES = ("cross_entropy", "class")
ANSWERS = ("auto", "cached", "live")
_VIEWS = {"cifar10": Views(), "digits": None}  # a shifted digit leaves the 8 × 8 pixels


@dataclass(frozen=True)
class Plan:
    """The settings of one distillation; the defaults are the article's, with CIFAR-10 and AlexNet.

    Attributes:
        data: name of the data set; a tenth of its training images is set aside for validation.
        losses: of the student, names of ``course_lib.training.LOSSES`` with their weights.
        temperature: T of the losses that have one.
        epochs, batch_size, optimizer, lr, weight_decay, schedule: of the student's training.
        teacher_epochs: of the teacher's training; as many as the student's if None.
        checkpoint_every: epochs between two checkpoints, and between two looks at the validation data.
        teacher_width, student_width: factor of AlexNet's channels and hidden units.
        dropout: of the teacher; the student has none.
        labels: number of training images with labels, balanced by class, another draw for each student; all if None.
            The teacher sees all.
        seeds: number of students, with seeds 0, 1, ….
        baseline: also train each student on hard labels alone, with the same seed and budget.
        augment: draw shifted and mirrored views; "auto" does so for photographs, not for digits.
        shift: largest shift in pixels. stride: shifts are its multiples.
        answers: "cached" asks the teacher about all views once, "live" at every step, "auto" takes what is less work;
            losses of gradients are always answered live where there are views.
        soft_matrix: S of the losses of gradients: "cross_entropy" (one column) or "class" (C columns).
        estimator: of the losses of gradients that have one: "exact", or "hutchinson" with one backward pass for all
            columns of S.
        target_norm: α of the gradient penalty.

    Raises:
        CourseError: a value that makes no plan.
    """

    data: str = "cifar10"
    losses: tuple[tuple[str, float], ...] = (("hard", 0.1), ("soft_target", 0.9))
    temperature: float = 5.0
    epochs: int = 100
    batch_size: int = 128
    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    teacher_epochs: int | None = None
    checkpoint_every: int = 10
    teacher_width: float = 1.0
    student_width: float = 0.25
    dropout: float = 0.5
    labels: int | None = None
    seeds: int = 1
    baseline: bool = False
    augment: str = "auto"
    shift: int = 4
    stride: int = 1
    answers: str = "auto"
    soft_matrix: str = "cross_entropy"
    estimator: str = "exact"
    target_norm: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", tuple((name, float(weight)) for name, weight in self.losses))
        for name in ("epochs", "checkpoint_every", "seeds"):
            self._check_count(name)
        for name in ("teacher_epochs", "labels"):
            if getattr(self, name) is not None:
                self._check_count(name)
        choices = {
            "answers": ANSWERS,
            "estimator": ESTIMATORS,
            "soft_matrix": SOFT_MATRICES,
            "augment": ("auto", "yes", "no"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise CourseError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("teacher_width", "student_width"):
            if not 0 < getattr(self, name) < float("inf"):
                raise CourseError(f"{name} must be a finite number above 0, got {getattr(self, name)!r}")
        check_positive(temperature=self.temperature)
        # Made once, so that a wrong value is answered before anything is trained.
        self.objective(), self.recipe(1000), Views(self.shift, self.stride)

    def _check_count(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CourseError(f"{name} must be an integer of at least 1, got {value!r}")

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
            smoothing=0.1,
        )

    def recipe(self, examples: int, epochs: int | None = None) -> Recipe:
        """How a student is trained on so many examples for so many epochs, by default the plan's."""
        steps = max(1, examples // self.batch_size) * (epochs or self.epochs)
        return Recipe(steps, self.batch_size, self.optimizer, self.lr, self.weight_decay, self.schedule)

    def views(self, dataset: Dataset) -> Views | None:
        """The augmentation for a data set."""
        if self.augment == "no" or (self.augment == "auto" and _VIEWS[dataset.name] is None):
            return None
        return Views(self.shift, self.stride, flip=dataset.name != "digits")

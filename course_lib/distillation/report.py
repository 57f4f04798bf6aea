"""The outcome of a distillation: one JSON file with every number."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.files import write_json
from course_lib.measure import Comparison, compare


@dataclass(frozen=True)
class Student:
    """One trained network, examined; the teacher too.

    Attributes:
        seed: of its training.
        parameters: number of weights.
        test_accuracy, test_agreement, test_calibration_error, validation_accuracy: in percent; agreement is the share
            of test images with the teacher's answer, the error is the expected one with 15 bins.
        test_loss: cross-entropy in nats.
        seconds, steps: of its training; 0 for a teacher that was loaded.
        watched: validation accuracy by step, while it was trained.
        losses: every unweighted term and "total", means over equal stretches of the training.
    """

    seed: int
    parameters: int
    test_accuracy: float
    test_loss: float
    test_agreement: float
    test_calibration_error: float
    validation_accuracy: float
    seconds: float
    steps: int
    watched: list[dict[str, float]] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """The result of ``distill``.

    Attributes:
        plan: its settings, as plain values.
        data: title of the data set.
        teacher: the teacher.
        students: by method, "student" and perhaps "baseline", one for each seed.
        provenance: date, commit, versions, machine, device, number of processes, precision, whether compiled and
            whether the students were trained together, and peak memory in bytes.
        teacher_file: of a teacher that was loaded; what the plan says about a teacher's training is then void.
    """

    plan: Mapping[str, Any]
    data: str
    teacher: Student
    students: Mapping[str, list[Student]]
    provenance: Mapping[str, Any]
    teacher_file: str | None = None

    def accuracies(self, method: str = "student") -> list[float]:
        """Test accuracy in percent of every seed."""
        return [student.test_accuracy for student in self.students[method]]

    def gain(self) -> Comparison | None:
        """The students over those trained on hard labels, in points; None without baseline or with one seed."""
        if "baseline" not in self.students or len(self.students["student"]) < 2:
            return None
        return compare(self.accuracies(), self.accuracies("baseline"))

    def write(self, folder: str | Path) -> Path:
        """Write ``report.json`` into the folder; its path.

        Raises:
            CourseError: the file cannot be written.
        """
        path = Path(folder) / "report.json"
        write_json(path, asdict(self))
        return path

    @classmethod
    def read(cls, path: str | Path) -> "Report":
        """The report from its JSON file.

        Raises:
            CourseError: the file is missing, or is not a report.
        """
        try:
            kept = json.loads(Path(path).read_text(encoding="utf-8"))
            students = {
                name: [Student(**each) for each in several] for name, several in kept["students"].items()
            }
            return cls(**kept | {"teacher": Student(**kept["teacher"]), "students": students})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CourseError(f"{path} is not a report of a distillation ({type(error).__name__})") from error

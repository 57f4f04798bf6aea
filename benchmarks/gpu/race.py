"""The speed run: equal seconds for students on labels, and for a teacher, its answers and the students on them."""

import time

from benchmarks.gpu.card import VIEWS, Size, kept_answers, network
from benchmarks.gpu.fleet import Fleet, Member, judged
from benchmarks.gpu.recipe import Way, differences
from course_lib.data import Dataset, Views
from course_lib.training import hard_labels

FEW_VIEWS = Views(pad=4, stride=4)
SHARE = 0.3  # of the seconds, for the teacher


class Race:
    """As many students on labels as on answers, paired by seed.

    Args:
        data: on the device.
        size: of everything.
        ways: the two methods with the settings chosen for them.
        teacher: settings and speed of the teacher.
    """

    def __init__(self, data: Dataset, size: Size, ways: dict[str, Way], teacher: dict):
        self.data, self.size = data, size
        self._hard, self._soft = ways["hard labels"], ways["soft targets"]
        self._of_teacher = teacher["lr"], teacher["weight_decay"]
        self._teacher_speed = teacher["images_per_second"]
        self._steps = len(data.train) // size.batch_size

    def round(self, epochs: int) -> dict:
        """Equal seconds, as many as hard labels take for this number of epochs."""
        plain, seconds = self._students(self._hard, epochs * self._steps, None)
        start = time.perf_counter()
        images = SHARE * seconds * self._teacher_speed
        steps = max(2, round(images / self.size.batch_size))
        big = network(self.size.teacher_width, 0, 0.5)
        member = Member(big, hard_labels(), *self._of_teacher)
        fleet = Fleet([member], self.data.train, FEW_VIEWS, self.size.batch_size, steps).train()
        answers = kept_answers(big.eval(), self.data.train, FEW_VIEWS)
        before = time.perf_counter() - start - fleet.recording
        left = max(2, round((seconds - before) / seconds * epochs * self._steps))
        taught, own = self._students(self._soft, left, answers)
        return {
            "share_of_the_teacher": SHARE,
            "epochs of hard labels": epochs,
            "seconds of hard labels": round(seconds, 2),
            "seconds of teacher and answers": round(before, 2),
            "seconds of soft targets": round(own, 2),
            "steps": {"teacher": steps, "hard labels": epochs * self._steps, "soft targets": left},
            "students": {"hard labels": plain, "soft targets": taught},
            "differences": differences({"hard labels": plain, "soft targets": taught}),
        }

    def _students(self, way: Way, steps: int, answers):
        members = [
            Member(
                network(self.size.student_width, seed),
                way.objective,
                way.lr,
                way.weight_decay,
                seed=seed,
                answers=answers,
            )
            for seed in range(self.size.pairs)
        ]
        views = VIEWS if answers is None else FEW_VIEWS
        fleet = Fleet(members, self.data.train, views, self.size.batch_size, steps).train()
        labels = self.data.test.labels
        return [judged(each, labels) for each in fleet.logits(self.data.test)], fleet.seconds

"""``python -m benchmarks.alexnet_cifar10 cpu``: AlexNet on CIFAR-10, all methods with one teacher, seeds and budget.

Sized for two cores (narrow networks, few epochs); ``benchmarks.gpu`` is the article's recipe in full. It takes long,
resumes where it was stopped, and writes ``data/results/alexnet_cifar10_cpu.json`` for notebook 09.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lightning_fabric import Fabric

from course_lib.distillation import Plan, Report, distill
from course_lib.files import write_json
from course_lib.provenance import provenance

HARD = (("hard", 1.0),)
SOFT = (("hard", 0.1), ("soft_target", 0.9))
METHODS = {"hard labels": HARD, "soft targets": SOFT, "logits": (("logit", 1.0),)}
# What is added to what; its λ is chosen on validation data, with a shorter training.
TUNED = {
    "soft targets, gradient matching": (SOFT, "gradient_matching", (0.01, 0.1, 1.0)),
    "soft targets, input gradient": (SOFT, "input_gradient", (0.0001, 0.001, 0.01)),
    "hard labels, input gradient": (HARD, "input_gradient", (0.0001, 0.001, 0.01)),
}


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        plan: of all trainings; the losses are each method's.
        all: methods that are compared with all labels.
        few: number of labels, and for how many epochs, of the comparison of all methods.
        tuning_epochs: of the trainings that choose λ, with few labels.
    """

    plan: Plan
    all: tuple[str, ...]
    few: tuple[int, int]
    tuning_epochs: int


SIZE = Size(
    Plan(
        teacher_width=1 / 4,
        student_width=1 / 16,
        teacher_epochs=20,
        epochs=10,
        checkpoint_every=2,
        seeds=3,
        estimator="hutchinson",
    ),
    all=("hard labels", "soft targets"),
    few=(5000, 20),
    tuning_epochs=10,
)


def carried_out(name: str, plan: Plan, folder: Path, fabric: Fabric) -> Report:
    """The report of one method, from its file if it is there and of this plan."""
    place = folder / name.replace(", ", "-").replace(" ", "-")
    kept = place / "report.json"
    if kept.exists():
        report = Report.read(kept)
        if report.plan == plan.values():
            return report
    teacher = folder.parent / "all" / "hard-labels" / "teacher.pt"
    report = distill(plan, place, teacher=teacher if teacher.exists() else None, fabric=fabric)
    print(f"{place}: {report.accuracies()}, teacher {report.teacher.test_accuracy:.2f}", flush=True)
    return report


def tuned(name: str, plan: Plan, folder: Path, fabric: Fabric) -> dict[float, float]:
    """Validation accuracy by λ of one student."""
    base, loss, weights = TUNED[name]
    found = {}
    for weight in weights:
        tried = replace(plan, losses=(*base, (loss, weight)), seeds=1)
        report = carried_out(f"{name} {weight:g}", tried, folder, fabric)
        found[weight] = report.students["student"][0].validation_accuracy
    return found


def summary(report: Report) -> dict:
    """What the notebook shows of a report."""
    students = [
        {key: value for key, value in asdict(student).items() if key != "losses"}
        for student in report.students["student"]
    ]
    return {"plan": report.plan, "students": students, "provenance": report.provenance}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machine", choices=("cpu",), help="what it is sized for")
    parser.add_argument("--folder", type=Path, default=Path("build/alexnet_cifar10"))
    options = parser.parse_args()
    size, folder = SIZE, options.folder / "cpu"
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    first = carried_out(
        "hard labels", replace(size.plan, losses=METHODS["hard labels"]), folder / "all", fabric
    )
    labels, epochs = size.few
    few = replace(size.plan, labels=labels, epochs=epochs, checkpoint_every=epochs // 5)
    short = replace(few, epochs=size.tuning_epochs)
    chosen = {name: tuned(name, short, folder / "tuning", fabric) for name in TUNED}
    methods = METHODS | {
        name: (*base, (loss, max(chosen[name], key=chosen[name].get)))
        for name, (base, loss, _) in TUNED.items()
    }
    result = {
        "what": "AlexNet on CIFAR-10: students of one teacher, same seeds and epochs, test data read once",
        "data": first.data,
        "command": "python -m benchmarks.alexnet_cifar10 cpu",
        "teacher": {key: value for key, value in asdict(first.teacher).items() if key != "losses"},
        "validation_by_weight": chosen,
        "all": {},
        "few": {},
    } | provenance()
    target = Path("data/results/alexnet_cifar10_cpu.json")
    for part, plan, names in (("few", few, methods), ("all", size.plan, size.all)):
        for name in names:
            report = carried_out(name, replace(plan, losses=methods[name]), folder / part, fabric)
            result[part][name] = summary(report)
            write_json(target, result)
    print(f"written to {target}")


if __name__ == "__main__":
    main()

"""``course distill``: the whole recipe from a terminal, on a CPU, a GPU or many machines."""

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.errors import CourseError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Accelerator(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Logs(StrEnum):
    csv = "csv"
    tensorboard = "tensorboard"
    none = "none"


def distill(
    loss: Annotated[
        list[str] | None,
        typer.Option(
            "--loss",
            metavar="NAME=WEIGHT",
            help="A loss of the student; give several for a sum: hard, confidence_weighted, smoothed_label, "
            "soft_target, logit, spherical_soft_target, radius, angle, magnitude, gradient, gradient_matching, "
            "gradient_penalty, input_gradient. [default: hard=0.1 and soft_target=0.9]",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help="As listed by: course data list. Or a folder of pictures, with a folder for each class."
        ),
    ] = "cifar10",
    size: Annotated[
        int, typer.Option(help="Side of the square that a folder's pictures become, in pixels.")
    ] = 32,
    validation: Annotated[
        float | None,
        typer.Option(help="Share of images set aside for validation; a tenth of CIFAR-10's if not given."),
    ] = None,
    temperature: Annotated[float, typer.Option("--temperature", "-T", help="T of the soft targets.")] = 5.0,
    epochs: Annotated[int, typer.Option(help="Of the student's training.")] = 100,
    teacher_epochs: Annotated[
        int | None, typer.Option(help="Of the teacher's training; as the student's if not given.")
    ] = None,
    teacher_optimizer: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    teacher_lr: Annotated[float | None, typer.Option(help="Likewise.")] = None,
    batch_size: Annotated[int, typer.Option(help="Examples per step, over all processes.")] = 128,
    checkpoint_every: Annotated[
        int, typer.Option(help="Epochs between two checkpoints, and two looks at the validation data.")
    ] = 10,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum (0.9), rmsprop or adam.")] = "adam",
    lr: Annotated[float, typer.Option(help="Learning rate at the start.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty of the weights.")] = 0.0,
    schedule: Annotated[str, typer.Option(help="constant, or cosine down to 0.")] = "cosine",
    student: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="A function of yours that makes the student, called with image_shape and num_classes if it has "
            "parameters so named. [default: AlexNet]",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="FILE or MODULE:FUNCTION",
            help="A teacher.pt, or a student, of an earlier distillation; or a function of yours, whose network is "
            "trained, or taken as it is with --teacher-epochs 0. [default: AlexNet, trained]",
        ),
    ] = None,
    teacher_weights: Annotated[
        Path | None,
        typer.Option(
            help="The file of an earlier distillation with the weights for your function's teacher."
        ),
    ] = None,
    teacher_width: Annotated[float, typer.Option(help="Factor of AlexNet's channels.")] = 1.0,
    student_width: Annotated[float, typer.Option(help="Factor of the student's channels.")] = 0.25,
    dropout: Annotated[float, typer.Option(help="Of the teacher; the student has none.")] = 0.5,
    labels: Annotated[
        int | None, typer.Option(help="Labelled images for the student; all if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of students.")] = 1,
    seed: Annotated[
        int, typer.Option(help="Of the teacher and the first student; later students count on.")
    ] = 0,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Also train on hard labels alone, and compare.")
    ] = False,
    augment: Annotated[str, typer.Option(help="auto, yes or no: shifted and mirrored images.")] = "auto",
    shift: Annotated[int, typer.Option(help="Largest shift in pixels.")] = 4,
    stride: Annotated[int, typer.Option(help="Shifts are multiples of it.")] = 1,
    answers: Annotated[
        str,
        typer.Option(
            help="auto, cached (the teacher asked once about all views) or live (at every step, as gradient losses "
            "always are with augmentation)."
        ),
    ] = "auto",
    soft_matrix: Annotated[
        str, typer.Option(help="S of gradient losses: cross_entropy or class.")
    ] = "cross_entropy",
    estimator: Annotated[
        str, typer.Option(help="Of gradient losses: exact, or hutchinson (one backward pass for all of S).")
    ] = "exact",
    target_norm: Annotated[float, typer.Option(help="α of the gradient penalty.")] = 1.0,
    smoothing: Annotated[float, typer.Option(help="ε of the smoothed labels.")] = 0.1,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for networks, checkpoints and report.")
    ] = Path("build/distill"),
    accelerator: Annotated[Accelerator, typer.Option(help="Where to train.")] = Accelerator.auto,
    precision: Annotated[
        str | None,
        typer.Option(help="32-true, bf16-mixed or 16-mixed; bf16-mixed on a GPU if not given, else 32-true."),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Train the students of all seeds at once; for small networks.")
    ] = False,
    compile: Annotated[bool | None, typer.Option(help="torch.compile; on a GPU if not given.")] = None,
    log: Annotated[Logs, typer.Option(help="Log every loss by name while training.")] = Logs.csv,
    fall_back: Annotated[
        bool,
        typer.Option(
            "--fall-back", help="Skip checkpoints that are damaged or belong to another distillation."
        ),
    ] = False,
) -> None:
    """Distil AlexNet or networks of yours: train or load a teacher, train students with any losses, write a report.

    Stopped and called again, it resumes where it was. In several processes: torchrun --nproc-per-node 2 -m
    course_lib.cli distill ..., or srun under SLURM.
    """
    given = locals()  # before anything else is named
    # Waiting threads spin for this long; without a bound they slow a busy machine down tenfold.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    from course_lib.cli import asked, console, fail
    from course_lib.distillation import Plan, load_network
    from course_lib.distillation import distill as carry_out
    from course_lib.training.termination import EXIT_CODE, Terminated, ending_in_order

    # Functions named on the command line may lie in the current folder, as for python -m.
    sys.path.insert(0, str(Path.cwd()))
    with asked():
        settings = {field.name: given[field.name] for field in fields(Plan) if field.name in given}
        if loss:
            settings["losses"] = tuple(map(_weighted, loss))
        plan = Plan(**settings)
        fabric = make_fabric(accelerator.value, precision)
        loggers = make_loggers(output / "logs", log)
        if teacher_weights and (teacher is None or ":" not in teacher):
            raise CourseError(
                "--teacher-weights goes with --teacher MODULE:FUNCTION, whose network has these weights"
            )
        big = load_network(teacher_weights, build=teacher) if teacher_weights else teacher
    cuda = fabric.device.type == "cuda"
    try:
        with ending_in_order():
            report = carry_out(
                plan,
                output,
                student=student,
                teacher=big,
                fabric=fabric,
                loggers=loggers,
                together=together,
                compile=cuda if compile is None else compile,
                fall_back=fall_back,
            )
    except Terminated as error:
        fail(str(error), EXIT_CODE)
    if fabric.is_global_zero:
        _show(report, output, console())


def _weighted(text: str) -> tuple[str, float]:
    name, sign, weight = text.partition("=")
    try:
        return name.strip(), float(weight if sign else "1")
    except ValueError:
        raise CourseError(f"--loss must be NAME=WEIGHT, such as soft_target=0.9, got {text!r}") from None


def make_fabric(accelerator: str, precision: str | None) -> "Fabric":
    """Fabric for this process: alone, or one of those that torchrun or SLURM started."""
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from course_lib.training.loop import PRECISIONS

    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    elif accelerator == "cuda" and not torch.cuda.is_available():
        raise CourseError("accelerator cuda was asked for, but PyTorch finds no GPU here")
    if precision is not None and precision not in PRECISIONS:
        raise CourseError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    per_node, nodes = _processes()
    if precision is None:
        precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
    if accelerator == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=per_node,
            num_nodes=nodes,
            strategy="ddp" if per_node * nodes > 1 else "auto",
            precision=precision,
        )
        fabric.launch()
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise CourseError(
            f"{per_node} processes on each of {nodes} machines cannot be started on {accelerator}: {error}"
        ) from error
    return fabric


def _processes() -> tuple[int, int]:
    """Processes on this machine, and machines, as torchrun or SLURM say."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    told = os.environ
    if TorchElasticEnvironment.detect():
        return int(told["LOCAL_WORLD_SIZE"]), int(told["WORLD_SIZE"]) // int(told["LOCAL_WORLD_SIZE"])
    if not SLURMEnvironment.detect():
        return 1, 1
    tasks = int(told["SLURM_NTASKS"])
    if tasks > 1 and told.get("SLURM_STEP_NUM_TASKS") != str(tasks):
        # A script of sbatch knows how many tasks there may be, and is one process that would wait for the others.
        raise CourseError(
            f"SLURM has {tasks} tasks for this job, but did not start this process as one of them: begin the command "
            "with srun"
        )
    if tasks > 1 and "SLURM_NTASKS_PER_NODE" not in told:
        raise CourseError(
            f"SLURM has {tasks} tasks for this job, but does not say how many on each machine: give it "
            "--ntasks-per-node in place of --ntasks"
        )
    per_node = int(told.get("SLURM_NTASKS_PER_NODE", "1"))
    return per_node, max(1, tasks // per_node)


def make_loggers(folder: Path, log: Logs) -> Callable[[str], list[Any]]:
    """From the name of a training to its loggers."""
    if log is Logs.none:
        return lambda name: []
    from lightning_fabric.loggers.csv_logs import CSVLogger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    if log is Logs.csv:
        # A training that is resumed writes into a folder beside: its loggers do not read what an earlier one wrote.
        # Each entry goes to the disk at once: losses are logged now and then only, and a kill should lose none.
        return lambda name: [CSVLogger(folder, name=name, flush_logs_every_n_steps=1)]
    try:
        TensorBoardLogger(folder)
    except ModuleNotFoundError as error:
        raise CourseError("--log tensorboard needs tensorboard: pip install tensorboard") from error
    return lambda name: [TensorBoardLogger(folder, name=name)]


def _show(report: Any, output: Path, out: Any) -> None:
    for method, several in {"teacher": [report.teacher], **report.students}.items():
        accuracies = ", ".join(f"{each.test_accuracy:.2f}" for each in several)
        losses = ", ".join(f"{each.test_loss:.3f}" for each in several)
        parameters = f"{several[0].parameters:,} parameters"
        out.print(
            f"{method}: test accuracy {accuracies} %, test loss {losses}, {parameters}", highlight=False
        )
    if gain := report.gain():
        out.print(f"student − baseline, points: {gain}", highlight=False, markup=False)
    out.print(f"The report: {(output / 'report.html').resolve().as_uri()}", highlight=False)

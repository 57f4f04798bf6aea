"""λ to move by hand: labels and soft targets mixed, and what each side asks of every logit, computed in the page."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.common import check_logits
from course_lib.show.softened import HIGHEST, LOWEST, STEP, Answers, answers_of, softened
from course_lib.show.style import BLACK, BLUE, GREY, VERMILION
from course_lib.show.web import WebChart, Words, told, web_chart

# Hundredths, and finer steps towards both ends.
_FINE = [0.001, 0.002, 0.005]
LAMS = [0.0, *_FINE, *(step / 100 for step in range(1, 100)), *(1 - step for step in _FINE[::-1]), 1.0]
_START = (LAMS.index(0.5), 2.0)  # λ by its place, log₂ T
_COLORS = {"hard part": VERMILION, "soft part": BLUE, "mix": BLACK}
_SIDE = 96  # of the picture, in pixels
_HEAD = _SIDE + 20  # the picture and its text, above the bars
_ROW = 38  # height of a class, three bars
_BARS_END = "width - 56"  # leaves room for the number


def mix_chart(
    student_logits: Tensor, teacher_logits: Tensor, images: Tensor, classes: Sequence[str], labels: Tensor
) -> WebChart:
    """A chart with sliders for λ and T over (1 − λ)·hard + λ·soft and its gradient in the student's logits.

    The losses are ``hard_label_loss`` and ``soft_target_loss`` (with T²) of one image. It needs no kernel.

    Args:
        student_logits: F, (N, C).
        teacher_logits: y, (N, C).
        images: uint8, (N, C', H, W) with C' = 1 or 3.
        classes: (C,) names.
        labels: int64, (N,) true classes.

    Raises:
        CourseError: the arguments do not fit one another.
    """
    student = answers_of(student_logits, images, classes, labels)
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    if not teacher_logits.isfinite().all():
        raise CourseError("teacher_logits must be finite, got NaN or infinity")
    teacher = teacher_logits.detach().cpu().double()
    text = (
        f"For each of {len(student.classes)} classes three bars: the gradient of the weighted hard-label loss, of the "
        "weighted soft-target loss and of their sum by the student's logit; above them the image and the losses, with "
        "sliders for λ and T and a choice of image."
    )
    chart = (
        alt.layer(*_bars(student, teacher), _head(student))
        .add_params(*_parameters(student))
        .properties(
            width=480,
            height=_HEAD + _ROW * len(student.classes),
            datasets={"answers": _rows(student, teacher)},
        )
        .resolve_scale(color="independent")
    )
    columns = {"class": "class", "hard_words": "hard part", "soft_words": "soft part", "mix_words": "mix"}
    words = Words("gradients", columns, values={"place": "lam_in_words", "log2_T": "T_in_words"})
    return web_chart(chart, text, words, grid=False, ticks=False, domain=False, labelPadding=6)


def gradients(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The gradients of one example's hard and soft loss in the student's logits, each (N, C), not yet weighted.

    softmax(F) − onehot(c), and T · (softmax(F/T) − softmax(y/T)): T² is in it.
    """
    onehot = torch.nn.functional.one_hot(labels, student.shape[1])
    hard = softened(student, 1.0) - onehot
    return hard, temperature * (softened(student, temperature) - softened(teacher, temperature))


def _longest(student: Answers, teacher: Tensor) -> list[float]:
    """The longest bar of each image at any place of the sliders, so that its scale stays while they move."""
    steps = round((HIGHEST - LOWEST) / STEP)
    labels = torch.tensor(student.labels)
    every = [gradients(student.logits, teacher, labels, 2 ** (LOWEST + STEP * i)) for i in range(steps + 1)]
    return torch.stack([part for parts in every for part in parts]).abs().amax(dim=(0, 2)).tolist()


def _parameters(student: Answers) -> list[alt.Parameter]:
    indices = list(range(len(student.labels)))
    names = [student.name(index) for index in indices]
    steps = ", ".join(f"{lam:.3f}" for lam in LAMS)
    return [
        alt.param(
            name="place",
            value=_START[0],
            bind=alt.binding_range(min=0, max=len(LAMS) - 1, step=1, name="weight λ "),
        ),
        alt.param(
            name="log2_T",
            value=_START[1],
            bind=alt.binding_range(min=LOWEST, max=HIGHEST, step=STEP, name="temperature, log₂ T "),
        ),
        alt.param(
            name="image", value=0, bind=alt.binding_select(options=indices, labels=names, name="image ")
        ),
        alt.param(name="lam", expr=f"[{steps}][place]"),
        alt.param(name="T", expr="pow(2, log2_T)"),
        alt.param(name="lam_in_words", expr="'λ = ' + format(lam, '.3~f')"),
        alt.param(name="T_in_words", expr="'T = ' + format(T, '.2f')"),
    ]


def _rows(student: Answers, teacher: Tensor) -> list[dict[str, Any]]:
    """One row per class of every image."""
    return [
        {"image": image, "class": name, "F": F, "y": y, "true": int(place == student.labels[image])}
        for image, answers in enumerate(zip(student.logits.tolist(), teacher.tolist(), strict=True))
        for place, (name, F, y) in enumerate(zip(student.classes, *answers, strict=True))
    ]


def _computed() -> alt.Chart:
    """The rows of the chosen image, with the losses and the three parts of the gradient."""
    return (
        alt.Chart(alt.NamedData("answers"))
        .transform_filter("datum.image == image")
        # The largest logits are taken off first: exp() of a large number is infinite.
        .transform_joinaggregate(F_top="max(F)", y_top="max(y)")
        .transform_calculate(f="datum.F - datum.F_top", t="datum.y - datum.y_top")
        .transform_calculate(f_1="exp(datum.f)", f_T="exp(datum.f / T)", t_T="exp(datum.t / T)")
        .transform_joinaggregate(f_1_sum="sum(f_1)", f_T_sum="sum(f_T)", t_T_sum="sum(t_T)")
        .transform_calculate(p="datum.t_T / datum.t_T_sum", q="datum.f_T / datum.f_T_sum")
        .transform_calculate(
            hard_term="datum.true * (log(datum.f_1_sum) - datum.f)",
            soft_term="T * T * datum.p * ((datum.t - datum.f) / T - log(datum.t_T_sum) + log(datum.f_T_sum))",
        )
        .transform_joinaggregate(hard_loss="sum(hard_term)", soft_loss="sum(soft_term)")
        .transform_calculate(
            hard="(1 - lam) * (datum.f_1 / datum.f_1_sum - datum.true)", soft="lam * T * (datum.q - datum.p)"
        )
        .transform_calculate(mix="datum.hard + datum.soft")
        .transform_calculate(
            hard_line="format(1 - lam, '.3~f') + ' · ' + format(datum.hard_loss, '.3f')",
            soft_line="format(lam, '.3~f') + ' · ' + format(datum.soft_loss, '.3f')",
            mix_line="format((1 - lam) * datum.hard_loss + lam * datum.soft_loss, '.3f')",
            hard_words="format(datum.hard, '+.3f')",
            soft_words="format(datum.soft, '+.3f')",
            mix_words="format(datum.mix, '+.3f')",
        )
    )


def _bars(student: Answers, teacher: Tensor) -> list[alt.Chart]:
    end = alt.expr("height")
    scale = alt.Scale(padding=0.18, range=[_HEAD, end])
    longest = f"{_longest(student, teacher)}[image]"
    base = _computed().encode(
        y=alt.Y("class:N", sort=None, scale=scale, axis=alt.Axis(title=None, labelFontSize=14))
    )
    x = alt.X(
        "gradient:Q",
        scale=alt.Scale(
            domainMin=alt.expr(f"-{longest}"),
            domainMax=alt.expr(longest),
            range=[0, alt.expr(_BARS_END)],
            nice=False,
        ),
        axis=alt.Axis(title="gradient by the logit", tickCount=5, ticks=True, domain=True),
    )
    color = alt.Color(
        "part:N", scale=alt.Scale(domain=list(_COLORS), range=list(_COLORS.values())), legend=None
    )
    bars = (
        base.transform_calculate(**{"hard part": "datum.hard", "soft part": "datum.soft"})
        .transform_fold(list(_COLORS), as_=["part", "gradient"])
        .mark_bar()
        .encode(x=x, color=color, yOffset=alt.YOffset("part:N", sort=list(_COLORS)))
    )
    track = base.mark_bar(color="#f5f5f5").encode(x=alt.value(0), x2=alt.value(alt.expr(_BARS_END)))
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color=GREY)
    zero = zero.encode(x=alt.datum(0, type="quantitative"), y=alt.value(_HEAD), y2=alt.value(end))
    sentence = (
        "lam_in_words + ', ' + T_in_words + ': ' + datum.hard_line + ' (hard) + ' + datum.soft_line + "
        "' (soft) = ' + datum.mix_line + '.'"
    )
    numbers = (
        told(base, sentence)
        .mark_text(align="right")
        .encode(x=alt.value(alt.expr("width")), text="mix_words:N")
        .properties(name="gradients")
    )
    return [track, bars, zero, numbers]


def _head(student: Answers) -> alt.LayerChart:
    """The picture, and to its right λ, T, the true class and the losses in the colours of their bars."""
    rows = [
        {"image": image, "url": picture, "truth": f"true class: {student.classes[label]}"}
        for image, (picture, label) in enumerate(zip(student.pictures, student.labels, strict=True))
    ]
    picture = alt.Chart(alt.Data(values=rows)).transform_filter("datum.image == image")
    losses = _computed().transform_filter("datum.true")
    beside = {"align": "left", "baseline": "top", "x": _SIDE + 14}
    return alt.layer(
        picture.mark_image(width=_SIDE, height=_SIDE, align="left", baseline="top").encode(
            x=alt.value(0), y=alt.value(0), url="url:N"
        ),
        picture.mark_text(
            fontSize=17, fontWeight="bold", text=alt.expr("lam_in_words + ', ' + T_in_words"), y=0, **beside
        ),
        picture.mark_text(y=24, **beside).encode(text="truth:N"),
        *(
            losses.transform_calculate(line=f"'{part}: ' + datum.{line}")
            .mark_text(color=_COLORS[part], fontWeight="bold", y=y, **beside)
            .encode(text="line:N")
            for part, line, y in (
                ("hard part", "hard_line", 44),
                ("soft part", "soft_line", 62),
                ("mix", "mix_line", 80),
            )
        ),
    )

"""Schematics of three chapters, as notebooks draw them."""

from course_lib.show import Axis, Box, schematic


def chapter_02():
    schematic(
        [
            [Box("images", "data")],
            [Box("teacher", "big", "trained, frozen"), Box("student", "small")],
            [Box("soft targets", "data", "softmax(z/T)"), Box("answers", "data", "softmax(z/T)")],
            [Box("loss", "loss", "λ · T² · KL + (1 − λ) · cross-entropy")],
        ],
        arrows=[
            *[("images", "teacher", "once"), ("images", "student"), ("teacher", "soft targets")],
            *[("student", "answers"), ("soft targets", "loss"), ("answers", "loss")],
            ("answers", "student", "learns", True),
        ],
    )


def chapter_07():
    schematic(
        [
            [Box("image", "data", "8 × 8"), Box("patches", "data", "36 rows of 9")],
            [Box("convolution", "small", "8 kernels of 3 × 3"), Box("dense layer", "small", "9 → 8")],
            [Box("the same map", "data", "8 × 6 × 6")],
        ],
        arrows=[
            *[("image", "patches", "unfold"), ("convolution", "dense layer", "same weights")],
            *[("image", "convolution"), ("patches", "dense layer")],
            *[("convolution", "the same map"), ("dense layer", "the same map")],
        ],
    )


def chapter_08():
    schematic(
        [
            [Box("hard labels", "data"), Box("teacher", "big")],
            [Box("student", "small"), Box("its pair", "small", "same seed and batches")],
            Axis("steps", ("200", "1,000", "4,000")),
            [Box("paired difference", "loss", "at every budget")],
        ],
        arrows=[
            *[("hard labels", "student"), ("teacher", "its pair", "soft targets")],
            *[("student", "steps"), ("its pair", "steps"), ("steps", "paired difference")],
        ],
    )

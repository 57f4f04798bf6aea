"""The data set that is always there: 1,797 scanned digits that come with scikit-learn."""

import torch

from course_lib.data.dataset import Dataset, assemble
from course_lib.data.splits import stratified_split
from course_lib.data.store import Decoded
from course_lib.errors import CourseError

SIZES = (1200, 200, 397)  # train, validation, test


def load_digits(seed: int) -> Dataset:
    """1,797 images of 8×8 pixels, 17 grey levels spread over 0 to 255; all three parts depend on the seed."""
    found = read()
    parts = stratified_split(found.labels, SIZES, seed)
    classes = [str(digit) for digit in range(10)]
    return assemble("digits", found.title, classes, found.images, found.labels, parts)


def read() -> Decoded:
    """All images, (1797, 1, 8, 8), and their labels.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998;
    the part of it that scikit-learn ships.
    """
    from sklearn import datasets  # a slow import
    from sklearn.utils import Bunch

    bunch = datasets.load_digits()
    assert isinstance(bunch, Bunch)  # not the tuple that it can be asked for
    images = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)[:, None]  # 0 … 16 → 0 … 255
    if len(images) != sum(SIZES):
        raise CourseError(f"scikit-learn's digits must be {sum(SIZES)} images, got {len(images)}")
    return Decoded("Digits (scikit-learn)", images, torch.from_numpy(bunch.target).long())

"""Folders of pictures of different sizes, and PyTorch's own data sets, as whole tensors."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset as Source
from torch.utils.data import TensorDataset

from course_lib.data import from_dataset, from_folder
from course_lib.errors import CourseError

COLORS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
SIZES = [(40, 30), (16, 64), (50, 50), (9, 20), (33, 32), (60, 20), (20, 60), (32, 32), (12, 12), (70, 35)]


def fill(folder, sizes=SIZES):
    """A folder for each class, with pictures of one colour in many sizes and kinds."""
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number, size in enumerate(sizes):
            picture = Image.new("RGB", size, color)
            if number == 0:
                picture = picture.convert("RGBA")
            picture.save(folder / name / f"{number}.png")


@pytest.fixture
def pictures(tmp_path):
    fill(tmp_path / "colors")
    return tmp_path / "colors"


def test_pictures_of_all_sizes_become_squares_with_their_labels(pictures):
    found = from_folder(pictures, size=16)
    assert found.name == "colors"
    assert found.classes == ("blue", "green", "red")
    assert found.image_shape == (3, 16, 16)
    parts = (found.train, found.validation, found.test)
    assert [len(part) for part in parts] == [21, 3, 6]
    for part in parts:
        wanted = torch.tensor([COLORS[found.classes[label]] for label in part.labels], dtype=torch.uint8)
        assert torch.equal(part.images, wanted[:, :, None, None].expand(-1, -1, 16, 16))
    assert sorted(torch.cat([part.index for part in parts]).tolist()) == list(range(30))
    assert not torch.equal(from_folder(pictures, size=16, seed=1).test.index, found.test.index)


def test_the_middle_is_kept(tmp_path):
    pixels = np.zeros((10, 30, 3), dtype=np.uint8)
    pixels[:, 10:20] = 255
    folder = tmp_path / "stripes"
    for name in "ab":
        for number in range(4):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    found = from_folder(folder, size=10, shares=(0.5, 0.25, 0.25))
    assert (found.train.images == 255).all()


def test_parts_that_are_folders_stay_apart(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test", SIZES[:2])
    found = from_folder(tmp_path, size=8, workers=1)
    assert (len(found.train), len(found.validation), len(found.test)) == (26, 4, 6)
    assert found.test.index.tolist() == list(range(30, 36))
    fill(tmp_path / "validation", SIZES[:1])
    found = from_folder(tmp_path, size=8)
    assert (len(found.train), len(found.validation), len(found.test)) == (30, 3, 6)


def test_any_data_set_of_pytorch_is_read():
    x, y = torch.randn(150, 4), torch.randn(150, 2)
    examples = from_dataset(TensorDataset(x, y))
    assert torch.equal(examples.inputs, x)
    assert torch.equal(examples.labels, y)


class Listed(Source):
    """A data set of given examples."""

    def __init__(self, *examples):
        self._examples = examples

    def __len__(self):
        return len(self._examples)

    def __getitem__(self, place):
        return self._examples[place]


def test_pictures_without_transform_are_uint8():
    grey = Image.new("L", (5, 4), 7)
    examples = from_dataset(Listed((grey, 0), (grey, 1)))
    assert examples.images.dtype == torch.uint8
    assert tuple(examples.images.shape) == (2, 1, 4, 5)
    assert examples.labels.tolist() == [0, 1]


def broken(folder):
    (folder / "red" / "x.png").write_bytes(b"no picture")
    return folder


def without_test(folder):
    fill(folder / "train", SIZES[:2])
    return folder


def other_classes(folder):
    fill(folder / "train")
    fill(folder / "test")
    (folder / "test" / "red").rename(folder / "test" / "rose")
    return folder


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, t: from_folder(p / "nowhere"), "path must be a folder of pictures, got .*nowhere"),
        (lambda p, t: from_folder(t / "empty"), "must hold a folder of pictures for each class"),
        (lambda p, t: from_folder(broken(p)), "x.png cannot be read as a picture"),
        (lambda p, t: from_folder(without_test(t / "parts")), "must have a folder test beside train"),
        (
            lambda p, t: from_folder(other_classes(t / "parts")),
            "must have the classes of train, blue, green, red",
        ),
        (lambda p, t: from_folder(p, size=0), "size must be"),
        (
            lambda p, t: from_folder(p, shares=(0.98, 0.01, 0.01)),
            "each of the 3 classes needs a picture in each of 3",
        ),
        (lambda p, t: from_dataset(Listed()), "must have a length of at least 1"),
        (lambda p, t: from_dataset(Listed(torch.ones(2))), r"must give pairs \(input, label\), got Tensor"),
        (lambda p, t: from_dataset(Listed(("words", 1))), "must give pictures, tensors or numbers, got str"),
        (
            lambda p, t: from_dataset(Listed((torch.ones(2), 1), (torch.ones(3), 1))),
            r"the input \(3,\) at 1 after \(2,\): give it a transform",
        ),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, message, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match=message) as caught:
        call(pictures, tmp_path)
    assert "\n" not in str(caught.value)

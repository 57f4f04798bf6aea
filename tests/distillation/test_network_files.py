"""Files of networks: what is sealed in them, and that nothing is made as large as they only claim."""

import pytest
import torch

from course_lib.distillation import load_network
from course_lib.distillation import networks as module
from course_lib.distillation.networks import save_network
from course_lib.errors import CourseError
from course_lib.files import content_hash
from course_lib.models import alexnet

SETTINGS = {"image_shape": [3, 32, 32], "num_classes": 10, "width": 1 / 64, "dropout": 0.0}


def sealed(path, settings, weights):
    """A file with a checksum that fits, whatever it holds."""
    torch.save(
        {"settings": settings, "weights": weights, "checksum": module._checksum(settings, weights)}, path
    )
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept["settings"].update(dropout=0.25),
        lambda kept: kept["weights"].update(other=kept["weights"].pop("features.0.weight")),
        lambda kept: kept["weights"].update(
            {"classifier.6.bias": kept["weights"]["classifier.6.bias"].view(2, 5)}
        ),
    ],
)
def test_settings_names_and_shapes_belong_to_what_is_sealed(tmp_path, change):
    path = tmp_path / "teacher.pt"
    save_network(path, alexnet(**SETTINGS), SETTINGS)
    kept = torch.load(path, weights_only=True)
    change(kept)
    torch.save(kept, path)
    with pytest.raises(CourseError, match=r"teacher\.pt is damaged: its content is not what was written"):
        load_network(path)


def test_files_of_version_0_1_are_still_read(tmp_path):
    weights = alexnet(**SETTINGS).state_dict()
    torch.save(
        {"settings": SETTINGS, "weights": weights, "checksum": content_hash(*weights.values())},
        tmp_path / "teacher.pt",
    )
    assert load_network(tmp_path / "teacher.pt").grid == (4, 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 1e4}, r"by its settings features.0.weight has shape \(640000, 3, 3, 3\), got "),
        ({"width": -1.0}, "width must be a finite number above 0, got -1.0"),
        ({"dropout": 7}, "dropout must be a number in"),
        ({"depth": 3}, "unexpected keyword argument 'depth'"),
        ({"image_shape": [3, 8 * 10**8, 8]}, r"it claims inputs \[3, 800000000, 8\]"),
        ({"image_shape": "large"}, "it claims inputs large"),
        ({"image_shape": 5}, "TypeError"),
        ({"num_classes": 10**10}, "and 10000000000 classes"),
        ({"num_classes": 11}, r"classifier.6.weight has shape \(11, "),
    ],
)
def test_a_file_that_is_sealed_but_claims_what_cannot_be_is_refused_before_a_network_is_made(
    tmp_path, changes, words
):
    weights = alexnet(**SETTINGS).state_dict()
    path = sealed(tmp_path / "teacher.pt", SETTINGS | changes, weights)
    with pytest.raises(CourseError, match=rf"teacher\.pt holds no network.*{words}"):
        load_network(path)


def test_an_own_network_is_not_made_for_inputs_or_classes_that_a_file_only_claims(tmp_path):
    made = []

    def build(image_shape, num_classes):
        made.append((image_shape, num_classes))
        return torch.nn.Linear(2, num_classes)

    weights = {"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}
    settings = {"function": "own:net", "image_shape": [2], "num_classes": 3}
    load_network(sealed(tmp_path / "own.pt", settings, weights), build=build)
    for changes in ({"num_classes": 10**9}, {"image_shape": [3, 10**6, 10**6]}):
        with pytest.raises(CourseError, match="it claims inputs"):
            load_network(sealed(tmp_path / "own.pt", settings | changes, weights), build=build)
    assert made == [((2,), 3)]

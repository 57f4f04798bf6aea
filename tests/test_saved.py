"""Files of torch.save that claim more than they hold, or hold something else, are refused before memory is taken."""

import io
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.saved import load_plain

resource = pytest.importorskip("resource")

HUGE = 10**10


def saved(content, path):
    torch.save(content, path)
    return path


def rewritten(path, change):
    """The file with its records changed: ``change`` takes them by name, without the folder."""
    with zipfile.ZipFile(path) as whole:
        folder = whole.namelist()[0].split("/")[0]
        records = {name.split("/", 1)[1]: whole.read(name) for name in whole.namelist()}
    change(records)
    with zipfile.ZipFile(path, "w") as whole:
        for name, content in records.items():
            whole.writestr(f"{folder}/{name}", content)
    return path


def with_pickle(path, content):
    return rewritten(saved({}, path), lambda records: records.update({"data.pkl": content}))


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("mmap", [False, True])
def test_tensors_and_plain_values_come_back(mmap, tmp_path):
    content = {
        "weights": OrderedDict(
            a=torch.arange(6.0).view(2, 3).t(), b=torch.zeros(0), c=torch.ones(1).expand(3)
        ),
        "others": [torch.tensor(True), torch.ones(2, dtype=torch.bfloat16), nn.Parameter(torch.ones(2))],
        "plain": {
            "name": "ä",
            "numbers": (1, 2.5, -(10**30)),
            "none": None,
            "bytes": b"\x00\xff",
            "set": {1},
        },
        "types": [torch.float16, torch.Size([2, 3]), torch.device("cpu")],
    }
    found = load_plain(saved(content, tmp_path / "file.pt"), mmap=mmap)
    assert found["plain"] == content["plain"]
    assert found["types"] == content["types"]
    for part in ("weights", "others"):
        values = zip(
            *(each.values() if part == "weights" else each for each in (found[part], content[part])),
            strict=True,
        )
        assert all(torch.equal(one, other) for one, other in values)


def test_an_open_file_will_do():
    file = io.BytesIO()
    torch.save([1], file)
    file.seek(0)
    assert load_plain(file) == [1]


def test_what_optimisers_and_networks_keep_comes_back(tmp_path):
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.rand(4, 2)).sum().backward()
    optimizer.step()
    found = load_plain(saved([network.state_dict(), optimizer.state_dict()], tmp_path / "file.pt"))
    network.load_state_dict(found[0])
    optimizer.load_state_dict(found[1])


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as whole:
        whole.writestr("archive/data.pkl", bytes(10**8))


def long_tensor(path):
    """A record of four bytes for a tensor of 10¹⁰ numbers."""
    saved(torch.zeros(1), path)
    pickled = pickle.dumps(HUGE, protocol=2)[2:-1]
    rewritten(
        path,
        lambda records: records.update(
            {"data.pkl": records["data.pkl"].replace(b"K\x01tq", pickled + b"tq", 1)}
        ),
    )


FORGED = {
    "compressed": (bomb, "claims to hold more than the file has bytes"),
    "tensor": (long_tensor, "claims 10000000000 numbers for a tensor, and holds fewer"),
    "expanded": (
        lambda path: saved(torch.zeros(1).expand(HUGE), path),
        r"claims a tensor of shape \(10000000000,\)",
    ),
    "array of bytes": (
        lambda path: with_pickle(path, pickle.dumps(Calls(bytearray, HUGE), protocol=2)),
        "other than tensors and plain values .*bytearray",
    ),
    "fresh tensor": (
        lambda path: with_pickle(path, pickle.dumps(Calls(torch.Tensor, HUGE), protocol=2)),
        "other than tensors and plain values .*torch",
    ),
    "code": (
        lambda path: with_pickle(path, pickle.dumps(Calls(print, "run"), protocol=2)),
        r"other than tensors and plain values .*__builtin__.print",
    ),
    "later protocol": (
        lambda path: with_pickle(path, pickle.dumps(bytearray(3), protocol=5)),
        "not as torch.save writes",
    ),
    "memory place": (
        lambda path: with_pickle(path, b"\x80\x02Nr\xff\xff\xff\x7f."),
        "not as torch.save writes",
    ),
    "no pickle": (
        lambda path: rewritten(saved({}, path), lambda records: records.pop("data.pkl")),
        "not a file of torch",
    ),
    "no zip": (lambda path: path.write_bytes(pickle.dumps([1])), "not a whole file of torch.save"),
    "half": (
        lambda path: path.write_bytes(saved([1], path).read_bytes()[:-50]),
        "not a whole file of torch.save",
    ),
    "garbage": (lambda path: with_pickle(path, b"\x80\x02garbage"), "cannot be read"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_small_file_that_claims_much_is_refused_in_a_sentence(kind, tmp_path, capsys):
    forge, words = FORGED[kind]
    path = tmp_path / "file.pt"
    forge(path)
    assert path.stat().st_size < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CourseError, match=words):
        load_plain(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    assert not capsys.readouterr().out


def test_one_piece_of_a_file_under_many_names_is_refused(tmp_path):
    """Records that lie over each other: each is stored, all together are more than the file."""
    path = saved([torch.zeros(5000)], tmp_path / "file.pt")
    with zipfile.ZipFile(path, "a") as whole:
        for number in range(20):
            record = zipfile.ZipInfo(f"archive/data/{number + 1}")
            first = whole.infolist()[0]
            record.header_offset, record.file_size = first.header_offset, 20_000
            record.compress_size, record.CRC = 20_000, first.CRC
            whole.filelist.append(record)
            whole.NameToInfo[record.filename] = record
        whole._didModify = True
    with pytest.raises(CourseError, match="claims to hold more"):
        load_plain(path)

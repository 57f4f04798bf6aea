"""Every form of a local copy gives the same images; an incomplete, damaged or hostile one gives one sentence."""

import gzip
import shutil
import tarfile

import pytest
import torch
from PIL import Image

from course_lib.data import available, cifar10, load, verify
from course_lib.errors import CourseError


def check_content(dataset, tiny):
    """Each of the tiny images is there once, in its part, with its label."""
    names = {pixels.tobytes(): key for key, pixels in tiny.items()}
    seen = []
    for part_name in ("train", "validation", "test"):
        part = getattr(dataset, part_name)
        for image, label in zip(part.images, part.labels, strict=True):
            key = names[image.permute(1, 2, 0).numpy().tobytes()]
            assert key[1] == dataset.classes[label]
            assert (key[0] == "test") == (part_name == "test")
            seen.append(key)
    assert sorted(seen) == sorted(tiny)


def test_png_tree_gives_every_image_with_its_label(make_tree, tiny):
    dataset = load("cifar10", root=make_tree())
    check_content(dataset, tiny)
    assert dataset.title == "CIFAR-10 (PNG copy)"
    assert (dataset.image_shape, dataset.num_classes) == ((3, 32, 32), 10)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [90, 10, 20]


@pytest.mark.parametrize("name", ["c.tar", "c.tar.gz", "c.tgz", "c.tar.xz"])
@pytest.mark.parametrize("prefix", ["", "./", "images-master/"])
def test_a_tar_gives_what_the_tree_gives(make_tree, make_tar, tiny, name, prefix):
    dataset = load("cifar10", root=make_tar(make_tree(), name, prefix=prefix))
    check_content(dataset, tiny)


def test_the_order_is_the_same_in_every_form(make_tree, make_tar):
    tree = make_tree()
    assert verify("cifar10", root=tree).sha256 == verify("cifar10", root=make_tar(tree, "c.tar.xz")).sha256


@pytest.mark.parametrize("form", ["folder", "parent", "archive"])
def test_official_files_in_every_form(official, make_tar, tiny, form):
    root = {"folder": official, "parent": official.parent}.get(form)
    root = root or make_tar(official.parent, cifar10.ARCHIVE)
    dataset = load("cifar10", root=root)
    assert dataset.title == "CIFAR-10"
    check_content(dataset, tiny)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
def test_a_jpeg_copy_says_so(make_tree, suffix):
    dataset = load("cifar10", root=make_tree(suffix=suffix))
    assert dataset.title == "CIFAR-10 (JPEG copy)"


def test_jpeg_pixels_are_pillow_s(make_tree):
    tree = make_tree(suffix="jpg")
    with Image.open(tree / "test" / "cat" / "0001.jpg") as image:
        pixels = torch.tensor([[image.getpixel((x, y)) for x in range(32)] for y in range(32)]).permute(
            2, 0, 1
        )
    test = load("cifar10", root=tree).test
    assert torch.equal(test.images[3 * 2 + 1].long(), pixels)  # 2 test images of each of the 10 classes
    assert test.labels[3 * 2 + 1] == 3


def test_jpeg_in_files_named_png_is_still_a_jpeg_copy(make_tree):
    tree = make_tree()
    path = tree / "train" / "cat" / "0000.png"
    Image.new("RGB", (32, 32)).save(path, format="JPEG")
    assert load("cifar10", root=tree).title == "CIFAR-10 (JPEG copy)"


def test_grey_images_become_rgb(make_tree):
    tree = make_tree()
    Image.new("L", (32, 32), 77).save(tree / "test" / "airplane" / "0000.png")
    assert (load("cifar10", root=tree).test.images[0] == 77).all()


def test_hidden_and_other_files_are_passed_over(make_tree, make_tar, tiny):
    tree = make_tree()
    for name in ("README.md", ".DS_Store", "train/.DS_Store", "train/cat/._0000.png", "train/cat/list.txt"):
        (tree / name).write_text("not an image")
    for root in (tree, make_tar(tree, "c.tar")):
        check_content(load("cifar10", root=root), tiny)


def test_train_and_validation_depend_on_the_seed_and_the_test_part_does_not(make_tree):
    tree = make_tree()
    first, second = load("cifar10", root=tree, seed=0), load("cifar10", root=tree, seed=1)
    assert not torch.equal(first.validation.index, second.validation.index)
    assert torch.equal(first.test.images, second.test.images)
    for dataset in (first, second):
        together = torch.cat([dataset.train.index, dataset.validation.index])
        assert torch.equal(together.sort().values, torch.arange(100))
        assert dataset.validation.labels.bincount().tolist() == [1] * 10


@pytest.fixture
def refuses(tmp_path):
    """refuses(root, message): load and verify say why in one sentence, and no file is left behind."""

    def check(root, message):
        for call in (load, verify):
            with pytest.raises(CourseError, match=message) as caught:
                call("cifar10", root=root)
            assert "\n" not in str(caught.value)
        assert [path for path in tmp_path.rglob("*") if path.suffix in (".pt", ".part")] == []

    return check


def test_an_image_too_few_or_too_many(make_tree, make_tar, refuses):
    tree = make_tree()
    (tree / "train" / "dog" / "0003.png").unlink()
    refuses(tree, "must have 10 images in train/dog, got 9")
    refuses(make_tar(tree, "c.tar.gz"), "must have 10 images in train/dog, got 9")
    for name in ("0003.png", "0010.png"):
        shutil.copy(tree / "train" / "dog" / "0000.png", tree / "train" / "dog" / name)
    refuses(tree, "must have 10 images in train/dog, got 11")


def test_a_missing_class_folder(make_tree, refuses):
    tree = make_tree()
    shutil.rmtree(tree / "test" / "ship")
    refuses(tree, "no image of test/ship$")


def test_an_unknown_class_folder(make_tree, refuses):
    tree = make_tree()
    (tree / "test" / "ship").rename(tree / "test" / "boat")
    refuses(tree, "class folder 'boat'; the classes are airplane, .*truck")


def test_a_damaged_image_is_named(make_tree, refuses):
    tree = make_tree()
    path = tree / "train" / "frog" / "0007.png"
    path.write_bytes(path.read_bytes()[:-200])
    refuses(tree, "holds train/frog/0007.png, which is not a readable JPEG or PNG image")
    path.write_text("not an image")
    refuses(tree, "holds train/frog/0007.png, which is not a readable")


def test_an_image_of_another_size_is_named(make_tree, refuses):
    tree = make_tree()
    Image.new("RGB", (64, 48)).save(tree / "train" / "frog" / "0007.png")
    refuses(tree, "train/frog/0007.png of 64×48 pixels, expected 32×32")


@pytest.mark.parametrize("name", ["c.tar", "c.tar.gz", "c.tar.xz"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_archive(make_tree, make_tar, name, share, refuses):
    path = make_tar(make_tree(), name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refuses(path, "it is truncated or damaged")


@pytest.mark.parametrize("name", ["c.tar", "c.tar.gz", "c.tar.xz"])
def test_what_is_no_archive(tmp_path, name, refuses):
    path = tmp_path / name
    path.write_text("<html>please log in to the network</html>")
    refuses(path, "cannot be read as an archive; it is truncated or damaged")
    path.write_bytes(b"")
    refuses(path, "it is truncated or damaged")


@pytest.mark.parametrize("name", ["c.tar.gz", "c.tar.xz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_damaged_compressed_archive(make_tree, make_tar, refuses, name, share):
    path = make_tar(make_tree(), name)
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 255
    path.write_bytes(content)
    refuses(path, "truncated or damaged|not a readable JPEG or PNG")


def test_an_archive_cut_between_two_members(make_tree, make_tar, refuses):
    path = make_tar(make_tree(), "c.tar")
    with tarfile.open(path) as tar:
        end = tar.getmembers()[-1].offset
    path.write_bytes(path.read_bytes()[:end])
    refuses(path, "truncated or damaged .it does not end")


def link(name, target, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (tarfile.TarInfo("../outside.jpg"), "'../outside.jpg' leaves the folder"),
        (tarfile.TarInfo("train/cat/../../../outside.jpg"), "leaves the folder"),
        (tarfile.TarInfo("/tmp/outside.jpg"), "'/tmp/outside.jpg' leaves the folder"),
        (tarfile.TarInfo("..\\outside.jpg"), "leaves the folder"),
        (link("train/cat/a.jpg", "/etc/passwd", tarfile.SYMTYPE), "'train/cat/a.jpg' is a link or device"),
        (link("train/cat/a.jpg", "train/cat/0000.png", tarfile.LNKTYPE), "is a link or device"),
        (link("train/cat/a.jpg", "", tarfile.FIFOTYPE), "is a link or device"),
    ],
)
def test_a_hostile_archive_is_refused(make_tree, make_tar, member, message, refuses):
    refuses(make_tar(make_tree(), "c.tar", member), message)


def test_a_huge_file_in_an_archive_is_not_read(make_tree, make_tar, refuses):
    member = tarfile.TarInfo("train/cat/a.jpg")
    member.size = 2**20 + 1
    refuses(make_tar(make_tree(), "c.tar.gz", member), r"'train/cat/a.jpg' of 1048577 bytes")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_header_of_any_size_is_not_read(make_tree, make_tar, tmp_path, kind, refuses):
    """A long name of 128 MiB of zeros is 128 KiB in the file."""
    member = tarfile.TarInfo("long")
    member.type, member.size = kind, 2**27
    path = tmp_path / "c.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(member.tobuf())
        for _ in range(2**7):
            file.write(bytes(2**20))
    refuses(path, "cannot be read as an archive.*a header claims 134217728 bytes")


def test_a_file_of_holes_in_place_of_an_official_one_is_not_read(official, refuses):
    with (official / "data_batch_3").open("r+b") as file:
        file.truncate(10**11)
    refuses(official, "data_batch_3 that is not the official file")


def test_an_archive_of_another_data_set_does_not_fill_the_memory(make_tree, make_tar, monkeypatch, refuses):
    monkeypatch.setattr(cifar10, "_TOTAL_LIMIT", 10_000)
    refuses(make_tar(make_tree(), "c.tar.gz"), "more than 10000 bytes of images: it is another data set")


def test_nothing_of_an_archive_is_unpacked(make_tree, make_tar, tmp_path):
    path = make_tar(make_tree(), "c.tar.gz")
    before = set(tmp_path.rglob("*.png"))
    verify("cifar10", root=path)
    assert set(tmp_path.rglob("*.png")) == before


def test_a_file_that_is_no_official_one_is_never_unpickled(official, make_tar, refuses):
    marker = official.parent / "marker"
    evil = f"cbuiltins\nopen\n(V{marker}\nVw\ntR.".encode()  # a pickle that makes a file
    (official / "data_batch_3").write_bytes(evil)
    refuses(official, "data_batch_3 that is not the official file")
    refuses(make_tar(official.parent, "c.tar.gz"), "data_batch_3 that is not the official file")
    assert not marker.exists()


def test_a_missing_official_file(official, make_tar, refuses):
    (official / "data_batch_4").unlink()
    (official / "test_batch").unlink()
    refuses(official, "lacks data_batch_4, test_batch")
    refuses(make_tar(official.parent, "c.tar.gz"), "lacks data_batch_4, test_batch")


def test_without_a_copy_it_says_what_one_looks_like(tmp_path, refuses):
    refuses(tmp_path / "nowhere", r"root \(.*nowhere\) does not exist; it must be cifar-10-python.tar.gz, ")
    empty = tmp_path / "empty"
    empty.mkdir()
    refuses(empty, r"root \(.*empty\) holds no copy of CIFAR-10, that is cifar-10-python.tar.gz, ")
    (tmp_path / "c.zip").write_bytes(b"PK")
    refuses(tmp_path / "c.zip", "is not an archive: its name must end in .tar, .tar.gz, .tgz, .tar.xz")


def test_a_tar_without_images(make_tar, tmp_path, refuses):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    refuses(make_tar(folder, "c.tar"), "holds no image of CIFAR-10")


def test_of_several_copies_one_must_be_named(make_tree, make_tar, tmp_path, refuses):
    make_tar(make_tree("a-cifar"), "b-cifar.tar.xz")
    refuses(tmp_path, r"several copies of CIFAR-10 \(a-cifar, b-cifar.tar.xz\)")
    assert not available(tmp_path)[1].ready


def test_the_official_copy_goes_before_others(official, make_tree):
    shutil.copytree(official, make_tree().parent / cifar10.FOLDER)
    assert load("cifar10", root=official.parent).title == "CIFAR-10"


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch, refuses):
    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cifar10, "_is_copy", deny)
    refuses(tmp_path, r"cannot be read \(.*Permission denied")

"""What the book's own pages state: numbers against PyTorch, code by running it, words by their form."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from course_lib import losses
from course_lib._torchvision import torchvision
from course_lib.data import Views, measured
from course_lib.measure import macs
from course_lib.models import alexnet
from course_lib.runner import list_notebooks
from course_lib.training import LOSSES

BOOK = Path(__file__).resolve().parents[2] / "book"
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def article():
    return (BOOK / "article.md").read_text(encoding="utf-8")


def table():
    """{layer: (what the article states, what is computed)} from the page's table."""
    rows = re.findall(r"^\| (\w+\d) \|[^|]*\| ([\d,]+) \| ([\d,]+) \|", article(), re.MULTILINE)
    return {name: tuple(int(number.replace(",", "")) for number in numbers) for name, *numbers in rows}


@pytest.mark.parametrize(
    ("layer", "module"),
    [
        ("conv1", nn.Conv2d(3, 96, 11)),
        ("conv2", nn.Conv2d(96, 256, 5)),
        ("conv3", nn.Conv2d(256, 384, 3)),
        ("conv4", nn.Conv2d(384, 384, 3)),
        ("conv5", nn.Conv2d(384, 256, 3)),
        ("fc7", nn.Linear(4608, 4096)),
        ("fc8", nn.Conv2d(4096, 96, 1)),
    ],
)
def test_the_tables_computed_column(layer, module):
    assert table()[layer][1] == count(module)


def test_what_the_table_says_happened():
    stated = {layer: numbers[0] for layer, numbers in table().items()}
    assert sum(stated.values()) == 105_623_648
    assert stated["conv3"] == nn.Conv2d(256, 384, 3).weight.numel()
    assert stated["conv5"] == nn.Conv2d(384, 256, 3).weight.numel()
    assert stated["fc7"] == count(nn.Linear(25_088, 4096))
    dense = next(m for m in torchvision.models.vgg16().modules() if isinstance(m, nn.Linear))
    assert dense.in_features == 25_088
    assert 27 * 27 * 256 == 186_624
    for number in ("105,623,648", "25,088", "186,624"):
        assert number in article()


def test_alexnet_of_torchvision():
    alexnet = torchvision.models.alexnet()
    kinds = [type(module) for module in alexnet.modules()]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.Linear)) == (5, 3)
    assert f"{count(alexnet):,}" in article()


HOW_TO = ("own", "own_losses", "own_loop", "trainings", "judging")
# What makes the pages' trainings short, and lets them run without a GPU.
SHORTER = {
    "steps=600": "steps=20",
    "steps=4000": "steps=20",
    "[200, 800]": "[5, 10]",
    "range(20)": "range(2)",
    'accelerator="cuda", devices=4, strategy="ddp"': 'accelerator="cpu", devices=1',
}


def code_of(name):
    """The Python of a page, block after block, and with shorter trainings."""
    text = (BOOK / f"{name}.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    return compile(code, f"{name}.md", "exec")


@pytest.fixture
def run_page(monkeypatch, tmp_path):
    """run_page(name): the names that a page leaves, run after the library's first example if it follows on from it."""
    monkeypatch.chdir(tmp_path)

    def run(name):
        names = {}
        if name != "library":
            text = (BOOK / "library.md").read_text(encoding="utf-8")
            assert "(library.md#distil-one-network)" in (BOOK / f"{name}.md").read_text(encoding="utf-8")
            first = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
            exec(first.replace("steps=600", "steps=20"), names)
        exec(code_of(name), names)
        return names

    return run


def test_the_librarys_page_runs(run_page):
    assert run_page("library")["logits"].shape == (397, 10)


def test_the_page_of_own_data_runs(run_page, tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / "photographs" / kind).mkdir(parents=True)
        for shade in range(10):
            Image.new("RGB", (40, 36), (shade, 0, 0)).save(tmp_path / "photographs" / kind / f"{shade}.png")
    names = run_page("own")
    assert names["pictures"].classes == ("cat", "dog")
    assert names["judged"].model(names["measured"]).shape == (300, 2)
    assert names["reading"].model(names["tokens"]).shape == (400, 12, 9)
    assert names["of_forest"].logits.shape == (1200, 10)


def test_the_page_of_own_losses_runs(run_page):
    names = run_page("own_losses")
    assert set(names["run"].history) == {"hard", "bounded", "total"}
    assert set(names["hinted"].history) == {"hard", "hint", "total"}
    assert names["hinted"].losses["hint"].projector.weight.shape == (512, 16)
    assert set(names["by_gradient"].history) == {"logits", "matching", "total"}
    assert set(names["by_feature"].history) == {"hard", "sizes", "total"}
    assert set(names["by_layer"].history) == {"hard", "layer", "total"}


class _LightningModule(nn.Module):
    def log_dict(self, values):
        self.logged = values


class _Trainer:
    """What Lightning's Trainer calls of a module, in its order."""

    def __init__(self, max_epochs):
        self.max_epochs = max_epochs

    def fit(self, module, loader):
        optimizer = module.configure_optimizers()
        module.train()
        for _ in range(self.max_epochs):
            for number, batch in enumerate(loader):
                optimizer.zero_grad()
                module.training_step(batch, number).backward()
                optimizer.step()


def test_the_page_of_own_loops_runs(run_page, monkeypatch, tmp_path):
    stand_in = types.SimpleNamespace(LightningModule=_LightningModule, Trainer=_Trainer)
    monkeypatch.setitem(sys.modules, "lightning", stand_in)
    torch.manual_seed(0)
    names = run_page("own_loop")
    assert set(names["distilled"].logged) == {"hard", "soft"}
    accuracy = names["measure"].evaluate(names["distilled"].student, names["digits"].validation).accuracy
    assert accuracy > 0.4  # of ten classes
    assert names["theirs"]["relu3"].shape == (len(names["x"]), 512)
    assert (tmp_path / "student.pt").is_file()


def test_the_page_of_long_trainings_runs(run_page):
    names = run_page("trainings")
    assert [path.name for path in names["kept"].files()] == ["step-0000000020.ckpt"]


def test_the_page_of_comparisons_runs(run_page):
    names = run_page("judging")
    assert names["curve"].steps == (5, 10, 20)


def test_every_page_of_the_library_is_run_and_stands_in_the_contents():
    assert all(f"]({name}.md)" in (BOOK / "library.md").read_text(encoding="utf-8") for name in HOW_TO)
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    [library] = [part["chapters"] for part in contents["parts"] if part["caption"] == "The library"]
    run = {"library", *HOW_TO, "reference"}
    for page in (chapter["file"] for chapter in library):
        assert page in run or "```python" not in (BOOK / f"{page}.md").read_text(encoding="utf-8"), page


def test_the_librarys_page_lists_every_loss():
    text = (BOOK / "library.md").read_text(encoding="utf-8")
    assert {name for name in losses.__all__ if name.endswith("_loss")} == set(
        re.findall(r"`(\w+_loss)`", text)
    )


def test_the_librarys_page_says_of_a_loss_what_the_registry_says():
    text = (BOOK / "library.md").read_text(encoding="utf-8").replace("$", "")
    rows = dict(re.findall(r"^\| `(\w+)_loss` \| ([^|]*) \|", text, re.MULTILINE))
    rows["hard"] = rows.pop("hard_label")
    of_vectors, nameless = {"radius", "angle", "magnitude"}, {"layer_response", "double_backpropagation"}
    assert set(rows) - nameless == set(LOSSES) - of_vectors
    assert all(LOSSES[name].compares == rows[name] for name in set(rows) - nameless)


def test_every_term_has_its_chinese_and_a_definition():
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    body = text.split(":::{glossary}\n")[1].rstrip().removesuffix(":::")
    entries = re.split(r"\n\n(?=\S)", body.strip())
    assert len(entries) >= 30
    for entry in entries:
        term, _, definition = entry.partition("\n")
        english, _, chinese = term.partition(" · ")
        assert english, entry
        assert CHINESE.search(chinese), entry
        assert definition.startswith("  "), entry
        assert definition.strip().endswith("."), entry


def test_the_list_of_chapters_is_in_order_and_knows_every_notebook():
    names = [
        chapter["name"] for chapter in yaml.safe_load((BOOK / "chapters.yml").read_text(encoding="utf-8"))
    ]
    assert [name[:2] for name in names] == [f"{number:02}" for number in range(len(names))]
    assert {path.stem for path in list_notebooks(BOOK.parent / "notebooks")} <= set(names)


def test_mathjax_is_shipped_with_its_licence_and_fonts():
    folder = BOOK / "_vendor" / "mathjax"
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
    asked = set(
        re.findall(r"MathJax_[A-Za-z0-9]+-?[A-Za-z]*(?=\.woff)", (folder / "tex-chtml.js").read_text())
    )
    shipped = {path.stem for path in folder.rglob("*.woff")}
    assert shipped >= {name for name in asked if "%" not in name}
    assert {"MathJax_Main-Regular", "MathJax_Math-Italic", "MathJax_AMS-Regular"} <= shipped


def scaling():
    """{quantity: (CIFAR-10, ImageNet)} from the table of the page on many machines."""
    page = (BOOK / "scaling.md").read_text(encoding="utf-8")
    return {
        cells[0]: (cells[2], cells[3])
        for cells in (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in page.splitlines()
            if line.startswith("| ") and line.count("|") == 5
        )
    }


def test_the_arithmetic_for_imagenet():
    images, rows = (45_000, 1_281_167), scaling()
    work = [
        macs(alexnet(shape, classes, dropout=0.0), torch.zeros(1, *shape))
        for shape, classes in (((3, 32, 32), 10), ((3, 224, 224), 1000))
    ]
    assert rows["training images"] == tuple(f"{n:,}" for n in images)
    assert rows["multiply-adds of AlexNet per image"] == tuple(f"{m / 1e6:.0f} million" for m in work)
    stored = [n * 3 * side**2 for n, side in zip(images, (32, 256), strict=True)]
    assert [f"{stored[0] / 1e6:.0f} MB (32 px)", f"{stored[1] / 1e9:.0f} GB (256 px)"] == list(
        rows["all images as bytes at the training size"]
    )
    epochs = [6 * m * n for m, n in zip(work, images, strict=True)]
    assert rows["work of one epoch, forwards and backwards"] == (
        f"{epochs[0] / 1e13:.1f} · 10¹³",
        f"{epochs[1] / 1e15:.1f} · 10¹⁵",
    )
    speed = measured("gpu")["parts"]["throughput"]["images_per_second"]["teacher, hard labels"]
    rate = 6 * work[0] * speed
    assert rows[f"the same at {rate / 1e12:.0f} · 10¹² operations per second"] == (
        f"{epochs[0] / rate:.2f} s",
        f"{epochs[1] / rate:.0f} s",
    )
    page = (BOOK / "scaling.md").read_text(encoding="utf-8")
    assert f"means {round(images[1] / (epochs[1] / rate), -3):,.0f} images a second" in page
    assert f"{round(speed, -3):,} images a second" in page
    logits = [2 * classes * n for classes, n in zip((10, 1000), images, strict=True)]
    assert rows["logits of one view, half precision"] == (
        f"{logits[0] / 1e6:.1f} MB",
        f"{logits[1] / 1e9:.1f} GB",
    )
    assert rows["logits of all 162 views"] == (
        f"{logits[0] * len(Views()) / 1e6:.0f} MB",
        f"{logits[1] * len(Views()) / 1e9:.0f} GB",
    )


def test_what_the_readme_says_of_a_gpu_was_measured():
    parts = measured("gpu")["parts"]
    speed, told = (
        parts["throughput"],
        " ".join((BOOK.parent / "README.md").read_text(encoding="utf-8").split()),
    )
    rates = speed["images_per_second"]
    for words in (
        f"{round(rates['teacher, hard labels'], -3):,} images a second",
        f"that is {speed['share_of_peak']['teacher']:.0%}".replace("%", " %"),
        f"in {parts['teacher']['training_seconds']:.0f} s.",
        f"{round(rates['student, answers kept'], -3):,} images a second",
        f"{speed['usual loop ÷ answers kept']['median']:.0f} times as many as the loop that one usually writes",
        f"`fit` takes {round(rates['student, hard labels, fit'], -3):,}",
    ):
        assert words in told, words
    assert max(part["peak_memory_bytes"] for part in parts.values()) < 6e9

"""Two small notebooks whose contents are known to the tests, with everything that the website has to show."""

import base64
import io

import nbformat
import torch
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.cards import badge, card
from course_lib.measure import Comparison
from course_lib.show.chart import temperature_chart
from course_lib.show.prediction import outcome_bundle, predict
from course_lib.show.table import comparison_table

CLASSES = ("cat", "dog", "ship")
ALT = "Bars of probabilities beside a picture, with a slider."
CHOICES = ("it helps", "no difference > 1", "it harms")
COMPARED = Comparison(0.25, -0.5, 1.0, "UNDECIDED", 20, margin=1.0)
LOGITS = torch.tensor([[6.0, 2.5, -1.0], [0.5, 0.0, 4.0]])  # of two images


def chart_specification():
    """The course's temperature chart of two small pictures."""
    pictures = torch.arange(2 * 64, dtype=torch.uint8).reshape(2, 1, 8, 8)
    return temperature_chart(LOGITS, pictures, CLASSES, torch.tensor([0, 2])).spec


def notebook(*cells):
    return new_notebook(
        cells=list(cells),
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


def shown(data, *, alt="", tags=(), source="show()"):
    """A code cell whose output is the MIME bundle ``data``."""
    metadata = {"tags": list(tags)}
    if alt:
        metadata["mystnb"] = {"image": {"alt": alt}}
    output = new_output("display_data", data={"text/plain": "shown", **data})
    return new_code_cell(source, metadata=metadata, outputs=[output], execution_count=1)


def picture():
    """A small PNG as a notebook stores it."""
    figure, buffer = Figure(figsize=(7, 3), layout="constrained"), io.BytesIO()
    axes = figure.subplots()
    axes.plot(torch.arange(10), torch.arange(10) ** 2)
    axes.set(xlabel="step", ylabel="loss")
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def write_small_course(folder):
    """Two small notebooks with everything that the site has to show."""
    folder.mkdir(parents=True, exist_ok=True)
    first = notebook(
        new_markdown_cell("# 00 Start here\n\nIn a minute you will have distilled a network."),
        new_markdown_cell(
            "Inline $T^2$ and\n\n$$\\mathrm{KL}(p \\| q) = \\sum_c p_c \\log \\frac{p_c}{q_c}$$"
        ),
        shown({"image/png": picture()}, alt="A line that rises ever faster.", tags=["cover"]),
        new_markdown_cell("Next: [soft targets](02_soft_targets.ipynb)."),
    )
    asked = predict("Does a teacher help?", CHOICES, key="teacher")
    second = notebook(
        new_markdown_cell("# 02 Soft targets\n\nA slider shows how temperature spreads probability."),
        shown(
            {"application/vnd.vegalite.v5+json": chart_specification()},
            alt=ALT,
        ),
        shown(asked._repr_mimebundle_()),
        shown(outcome_bundle(asked, CHOICES[0], "As so often.")),
        shown({"text/html": comparison_table({"a teacher": COMPARED})._repr_html_()}),
        shown({"text/html": card("good", "claim", f"{badge('good', '✔ holds')} &nbsp;A claim.")}),
    )
    nbformat.write(first, folder / "00_start_here.ipynb")
    nbformat.write(second, folder / "02_soft_targets.ipynb")
    return folder

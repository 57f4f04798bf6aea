"""The contract of a notebook, rule by rule, on every committed notebook; and each rule on a notebook that breaks it.

That a notebook has exercises, and that they can be solved, is tested with the exercises.
"""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.runner import list_notebooks
from course_lib.runner.execute import claims

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = list_notebooks(FOLDER)
LONGEST_CELL = 25
CHECKED = "nbval-check-output"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def head(notebook):
    """The text above the first code cell."""
    first = next(
        (i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), len(notebook.cells)
    )
    return "\n\n".join(cell.source for cell in notebook.cells[:first])


def rendered(notebook):
    """All text that a reader's browser or eye gets: sources and textual outputs, without pictures."""
    texts = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        data = {
            kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/p")
        }
        texts += [
            output.get("text", ""),
            *(value if isinstance(value, str) else json.dumps(value) for value in data.values()),
        ]
    return "\n".join(texts)


def has_title_and_promise(notebook):
    """The first cell is a title, then a sentence."""
    return re.match(r"# \S.*\n+[^#\n]*\.", head(notebook))


def says_what_to_expect(notebook):
    """Objectives, prerequisites and run time are above the first code cell."""
    text = head(notebook).lower()
    return all(re.search(rf"\b{word}\b", text) for word in ("objectives", "prerequisites", "time"))


def has_parameters(notebook):
    """One cell sets the profile to quick and the seed to 0."""
    cells = tagged(notebook, "parameters")
    values = {}
    for statement in ast.parse(cells[0].source).body if len(cells) == 1 else ():
        values[ast.unparse(statement.targets[0])] = ast.literal_eval(statement.value)
    return values.get("profile") == "quick" and values.get("seed") == 0


def has_sizes_for_all_profiles(notebook):
    """At least one dictionary of sizes is indexed by the profile, and each has quick, full and smoke."""
    sources = [cell.source for cell in code_cells(notebook) if "[profile]" in cell.source]
    chosen = [
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "profile"
    ]
    return chosen and all(
        isinstance(each, ast.Dict) and {key.value for key in each.keys} == {"quick", "full", "smoke"}
        for each in chosen
    )


def is_executed_in_order(notebook):
    """As after "restart and run all": every code cell once, from 1."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    return counts == list(range(1, len(counts) + 1))


def has_no_errors(notebook):
    """No error, and no warning on standard error."""
    return not any(
        output.output_type == "error" or output.get("name") == "stderr" for output in outputs(notebook)
    )


def has_short_cells(notebook):
    """A code cell can be seen at once."""
    return all(len(cell.source.splitlines()) <= LONGEST_CELL for cell in code_cells(notebook))


def has_claims_that_hold(notebook):
    """At least one claim, and all hold."""
    found = list(claims(notebook))
    return found and all(claim["holds"] is True for claim in found)


def answers_what_it_asks(notebook):
    """Every guess that the reader is asked for is shown beside an outcome further down, and no other."""
    found = re.findall(r'class="course-(predict|predicted)" data-key="([^"]*)"', rendered(notebook))
    asked = [key for kind, key in found if kind == "predict"]
    told = [key for kind, key in found if kind == "predicted"]
    first = {key: found.index(("predict", key)) for key in asked}
    in_order = all(first.get(key, len(found)) < found.index(("predicted", key)) for key in told)
    return len(asked) == len(set(asked)) and sorted(asked) == sorted(told) and in_order


def has_checked_outputs(notebook):
    """At least three cells have an output that is compared, and none of these outputs is empty."""
    cells = tagged(notebook, CHECKED)
    return len(cells) >= 3 and all(cell.outputs for cell in cells)


def describes_its_figures(notebook):
    """Every figure and chart has a text for those who do not see it."""
    for cell in code_cells(notebook):
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        if any(kind == "image/png" or kind.startswith("application/vnd.vegalite") for kind in kinds):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            if len(alt.split()) < 3:
                return False
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return not any(re.search(r"!\[\s*\]\(|<img(?![^>]*alt=)", text) for text in texts)


def shows_its_figures(notebook):
    """Where a cell has a text for those who do not see its figure, there is a figure."""
    for cell in code_cells(notebook):
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        if cell.metadata.get("mystnb", {}).get("image") and not any(
            "image" in k or "vega" in k for k in kinds
        ):
            return False
    return True


def needs_no_other_host(notebook):
    """Pictures and scripts are local."""
    return not re.search(r"!\[[^\]]*\]\(\s*(https?:)?//|\bsrc\s*=\s*\\?[\"'](https?:)?//", rendered(notebook))


def has_links_that_lead_somewhere(notebook):
    """Files that the text links to are in the course."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    targets = [target for text in texts for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)]
    return all((FOLDER / target).exists() for target in targets if not re.match(r"\w+:", target))


def names_no_folder_of_its_author(notebook):
    """No absolute path."""
    return not re.search(
        r"(?<![\w/.])/(home|root|Users|tmp|work|usr|opt|mnt)/\w|\b[A-Z]:\\\\?Users", rendered(notebook)
    )


def keeps_no_trace_of_the_run(notebook):
    """No widget state or view, no record of papermill, no times."""
    views = any(
        "application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs(notebook)
    )
    recorded = any({"papermill", "execution"} & cell.metadata.keys() for cell in notebook.cells)
    return not views and not recorded and not {"papermill", "widgets"} & notebook.metadata.keys()


def is_valid(notebook):
    """Jupyter's own schema, with an id for each cell."""
    ids = [cell.get("id") for cell in notebook.cells]  # before validate, which fixes doubles by itself
    return None not in ids and len(set(ids)) == len(ids) and nbformat.validate(notebook) is None


RULES = [
    has_title_and_promise,
    says_what_to_expect,
    has_parameters,
    has_sizes_for_all_profiles,
    is_executed_in_order,
    has_no_errors,
    has_short_cells,
    has_claims_that_hold,
    answers_what_it_asks,
    has_checked_outputs,
    describes_its_figures,
    shows_its_figures,
    needs_no_other_host,
    has_links_that_lead_somewhere,
    names_no_folder_of_its_author,
    keeps_no_trace_of_the_run,
    is_valid,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, rule):
    assert rule(nbformat.read(path, as_version=4)), rule.__doc__


def test_notebooks_are_the_chapters_announced_and_begin_at_zero():
    """In the order of their numbers; a chapter that is still to come may leave a gap."""
    announced = [
        chapter["name"] for chapter in yaml.safe_load((FOLDER.parent / "book" / "chapters.yml").read_text())
    ]
    names = [path.stem for path in NOTEBOOKS]
    assert names[0].startswith("00_")
    assert names == [name for name in announced if name in names]


def test_only_one_notebook_makes_the_cover():
    assert [path.stem for path in NOTEBOOKS if tagged(nbformat.read(path, as_version=4), "cover")] == [
        "02_soft_targets"
    ]


def data(**kinds):
    return new_output("display_data", data={kind.replace("_", "/"): value for kind, value in kinds.items()})


def held(holds=True):
    return new_output(
        "display_data", data={"application/vnd.course.claim+json": {"sentence": "s", "holds": holds}}
    )


def question(kind, key):
    return data(text_html=f'<div class="course-{kind}" data-key="{key}" style="">')


def good():
    """A small notebook that keeps every rule."""
    text = "# Title\n\nYou will see.\n\n**Objectives**: one.\n\n**Prerequisites**: none.\n\n**Time**: short."
    figure = new_code_cell("plot()", metadata={"mystnb": {"image": {"alt": "A line that rises."}}})
    figure.outputs = [data(image_png="aaaa/tmp/aa")]
    cells = [
        new_markdown_cell(text),
        new_code_cell('profile = "quick"\nseed = 0', metadata={"tags": ["parameters"]}),
        *[new_code_cell(f"print({i})", metadata={"tags": [CHECKED]}) for i in (1, 2, 3)],
        figure,
        new_code_cell('SIZES = {"quick": 2, "full": 3, "smoke": 1}[profile]'),
        new_code_cell("predict()", outputs=[question("predict", "a")]),
        new_code_cell("predicted()", outputs=[question("predicted", "a")]),
        new_code_cell("claim()"),
    ]
    for number, cell in enumerate(cells[1:], 1):
        cell.execution_count = number
    for cell in cells[2:5]:
        cell.outputs = [new_output("stream", name="stdout", text="1")]
    cells[-1].outputs = [held()]
    return new_notebook(cells=cells)


def code(source, *shown):
    def add(notebook):
        notebook.cells.append(new_code_cell(source, execution_count=9, outputs=list(shown)))

    return add


def text(source):
    return lambda notebook: notebook.cells.append(new_markdown_cell(source))


def replaced(index, source):
    return lambda notebook: notebook.cells[index].update(source=source)


BROKEN = [
    (has_title_and_promise, replaced(0, "## Title\n\nYou will see.")),
    (has_title_and_promise, replaced(0, "# Title\n\n## Objectives")),
    (says_what_to_expect, replaced(0, "# Title\n\nYou will see.\n\nPrerequisites, time")),
    (has_parameters, replaced(1, 'profile = "full"\nseed = 0')),
    (has_parameters, lambda notebook: notebook.cells[1].metadata.clear()),
    (has_sizes_for_all_profiles, replaced(6, 'SIZES = {"quick": 2, "full": 3}[profile]')),
    (has_sizes_for_all_profiles, replaced(6, "SIZES = 2")),
    (has_sizes_for_all_profiles, code('MORE = {"quick": 2, "full": 3}[profile]')),
    (is_executed_in_order, lambda notebook: notebook.cells[1].update(execution_count=3)),
    (is_executed_in_order, lambda notebook: notebook.cells[-1].update(execution_count=None)),
    (has_no_errors, code("1", new_output("error", ename="E", evalue="", traceback=[]))),
    (has_no_errors, code("1", new_output("stream", name="stderr", text="warning"))),
    (has_short_cells, code("\n".join("a" * 26))),
    (has_claims_that_hold, lambda notebook: notebook.cells[-1].update(outputs=[])),
    (has_claims_that_hold, code("1", held(False))),
    (answers_what_it_asks, code("1", question("predict", "b"))),
    (answers_what_it_asks, code("1", question("predicted", "b"))),
    (answers_what_it_asks, code("1", question("predict", "a"), question("predicted", "a"))),
    (answers_what_it_asks, lambda notebook: notebook.cells.insert(7, notebook.cells.pop(8))),
    (has_checked_outputs, lambda notebook: notebook.cells[2].metadata.clear()),
    (has_checked_outputs, lambda notebook: notebook.cells[2].update(outputs=[])),
    (describes_its_figures, code("1", data(image_png="a"))),
    (
        describes_its_figures,
        code("1", new_output("display_data", data={"application/vnd.vegalite.v6+json": {}})),
    ),
    (describes_its_figures, text("![](figure.png)")),
    (describes_its_figures, text('<img src="figure.png">')),
    (shows_its_figures, lambda notebook: notebook.cells[5].update(outputs=[])),
    (needs_no_other_host, text("![a figure](https://example.org/a.png)")),
    (needs_no_other_host, code("1", data(text_html='<script src="https://example.org/a.js">'))),
    (has_links_that_lead_somewhere, text("See [there](../nowhere.md#part).")),
    (has_links_that_lead_somewhere, text("See [this](02_soft_targets.ipynb) and [that](99_none.ipynb).")),
    (names_no_folder_of_its_author, code("1", data(text_plain="saved in /home/me/x"))),
    (keeps_no_trace_of_the_run, lambda notebook: notebook.metadata.update(widgets={})),
    (keeps_no_trace_of_the_run, lambda notebook: notebook.cells[1].metadata.update(execution={})),
    (
        keeps_no_trace_of_the_run,
        code(
            "1",
            new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": "a"}}),
        ),
    ),
    (is_valid, lambda notebook: notebook.cells[1].update(id=notebook.cells[0].id)),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_accepts_a_good_notebook(rule):
    assert rule(good())


@pytest.mark.parametrize(("rule", "spoil"), BROKEN, ids=[rule.__name__ for rule, _ in BROKEN])
def test_a_rule_rejects_a_broken_notebook(rule, spoil):
    notebook = good()
    spoil(notebook)
    assert not rule(notebook)


def test_every_rule_is_tried_on_a_broken_notebook():
    assert {rule for rule, _ in BROKEN} == set(RULES)

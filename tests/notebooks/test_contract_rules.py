"""Each rule of the contract accepts a good notebook, and rejects one that breaks it."""

import pytest
from contract import (
    CHECKED,
    RULES,
    answers_what_it_asks,
    describes_its_figures,
    has_checked_outputs,
    has_claims_that_hold,
    has_links_that_lead_somewhere,
    has_no_errors,
    has_parameters,
    has_short_cells,
    has_sizes_for_all_profiles,
    has_title_and_promise,
    is_executed_in_order,
    is_valid,
    keeps_no_trace_of_the_run,
    names_no_folder_of_its_author,
    needs_no_other_host,
    says_what_to_expect,
    shows_its_figures,
    stores_every_claim,
)
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


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
    (stores_every_claim, code("claim(a)\nclaim(b)", held())),
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

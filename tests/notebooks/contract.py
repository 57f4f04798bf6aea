"""The contract of a notebook as rules: functions of a notebook that say whether it keeps one.

That a notebook has exercises, and that they can be solved, is tested with the exercises.
"""

import ast
import json
import re
from collections import Counter
from pathlib import Path

import nbformat

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


def stores_every_claim(notebook):
    """A cell's outputs have as many claims as it calls ``claim``: `course run` is held to what is stored."""
    stored = Counter(claim["cell"] for claim in claims(notebook))
    cells = [(number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]
    return all(len(re.findall(r"\bclaim\(", cell.source)) <= stored[number] for number, cell in cells)


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
    stores_every_claim,
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

"""Commands on an output that is not UTF-8: Windows' code page, or plain ASCII."""

import os
import subprocess
import sys

import pytest


def said(encoding, tmp_path, *command):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "COLUMNS": "200"}
    answer = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    return answer.returncode, answer.stdout.decode(encoding), answer.stderr.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_commands_live_with_an_output_that_is_not_utf8(encoding, tmp_path, make_notebook):
    claim = "from course_lib.mime import CLAIM\nfrom IPython.display import publish_display_data\n"
    claim += "publish_display_data({CLAIM: {'sentence': 'λ − 1 ✔', 'holds': False, 'evidence': '1 → 2'}})"
    make_notebook("00_n", "print('λ ✔')", claim)
    code, out, err = said(encoding, tmp_path, "-m", "course_lib.cli", "run")
    assert code == 1
    assert "00_n, cell 4: the claim 'lambda - 1 [ok]' does not hold (1 -> 2)" in err
    assert "00_n" in out
    assert "Traceback" not in err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    ("words", "expected"), [(["tune", "--help"], "lambda and method"), (["run", "λ✔é"], "'lambda[ok]")]
)
def test_help_and_errors_are_said_in_words(encoding, tmp_path, make_notebook, words, expected):
    make_notebook("00_n", "1")
    _, out, err = said(encoding, tmp_path, "-m", "course_lib.cli", *words)
    assert expected in out + err
    assert "Traceback" not in err


def test_what_the_encoding_has_stays_and_what_nobody_knows_is_a_question_mark():
    code = "from course_lib.cli.streams import make_safe; make_safe(); print('é × ž ₂ 漢 \\udcff')"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONIOENCODING": "latin-1"}, capture_output=True
    )
    assert answer.stdout.decode("latin-1").strip() == "é × z 2 ? ?", answer.stderr

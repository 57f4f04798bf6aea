"""The two lists of exact versions: the same, but for the CUDA packages, which only the one with hashes names."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CUDA = re.compile(r"(nvidia-|cuda-|triton)")
ENTRY = re.compile(r"(\S.*?)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def test_the_hashed_lock_has_the_same_versions_and_a_hash_for_each():
    text = (ROOT / "requirements-hashed.lock").read_text()
    assert ENTRY.sub("", text) == ""
    wanted = [entry[1] for entry in ENTRY.finditer(text) if not CUDA.match(entry[1])]
    assert wanted == (ROOT / "requirements.lock").read_text().splitlines()

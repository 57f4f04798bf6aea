"""Speed, as ratios from one run: each part of the course beside what a user would otherwise write."""

import os

# As the course's kernels and commands have it; read when PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

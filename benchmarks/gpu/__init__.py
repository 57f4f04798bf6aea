"""The article's recipe in full on one GPU, in minutes: ``python -m benchmarks.gpu``."""

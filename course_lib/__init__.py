"""The library of "Small from Big", a hands-on course in model distillation."""

__version__ = "0.1.0"

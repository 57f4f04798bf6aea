"""Measuring: how good, how expensive, and whether one method beats another."""

from course_lib.measure.claims import ClaimError, claim
from course_lib.measure.compare import Comparison, Interval, compare, interval
from course_lib.measure.cost import Cost, Load, Timing, cost, load_curve, macs
from course_lib.measure.detection import Detections, find_peaks, match_places, pooled, score_detections
from course_lib.measure.quality import (
    Scores,
    accuracy,
    agreement,
    confusion,
    evaluate,
    expected_calibration_error,
    scores,
)

__all__ = [
    "ClaimError",
    "Comparison",
    "Cost",
    "Detections",
    "Interval",
    "Load",
    "Scores",
    "Timing",
    "accuracy",
    "agreement",
    "claim",
    "compare",
    "confusion",
    "cost",
    "evaluate",
    "expected_calibration_error",
    "find_peaks",
    "interval",
    "load_curve",
    "macs",
    "match_places",
    "pooled",
    "score_detections",
    "scores",
]

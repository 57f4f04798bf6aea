"""Measuring: how good, how expensive, and whether one method beats another."""

from course_lib.measure.baselines import BASELINES, TUNABLE, trivial_baseline, tuned_baseline
from course_lib.measure.budgets import BudgetCurve, budget_curve
from course_lib.measure.calibration import (
    ConfidenceBin,
    calibrating_temperature,
    confidence_gap,
    reliability,
)
from course_lib.measure.claims import ClaimError, claim
from course_lib.measure.compare import Comparison, Interval, compare, holm, interval
from course_lib.measure.confusions import confusion_shares, pair_correlation
from course_lib.measure.cost import Cost, Load, Timing, cost, load_curve, macs
from course_lib.measure.detection import Detections, find_peaks, match_places, pooled, score_detections
from course_lib.measure.diagnosis import Diagnosis, diagnose
from course_lib.measure.margins import boundary_distance
from course_lib.measure.quality import (
    Scores,
    accuracy,
    agreement,
    confusion,
    evaluate,
    expected_calibration_error,
    scores,
)
from course_lib.measure.search import Found, count_found, linear_searcher, read_maps

__all__ = [
    "BASELINES",
    "TUNABLE",
    "BudgetCurve",
    "ClaimError",
    "Comparison",
    "ConfidenceBin",
    "Cost",
    "Detections",
    "Diagnosis",
    "Found",
    "Interval",
    "Load",
    "Scores",
    "Timing",
    "accuracy",
    "agreement",
    "boundary_distance",
    "budget_curve",
    "calibrating_temperature",
    "claim",
    "compare",
    "confidence_gap",
    "confusion",
    "confusion_shares",
    "cost",
    "count_found",
    "diagnose",
    "evaluate",
    "expected_calibration_error",
    "find_peaks",
    "holm",
    "interval",
    "linear_searcher",
    "load_curve",
    "macs",
    "match_places",
    "pair_correlation",
    "pooled",
    "read_maps",
    "reliability",
    "score_detections",
    "scores",
    "trivial_baseline",
    "tuned_baseline",
]

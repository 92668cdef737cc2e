"""A run as pages that open from disk with the network off, as a PDF, as single figures and as tables."""

from inspect_fer.report.figures import FIGURES
from inspect_fer.report.formats import FACELESS, FORMATS
from inspect_fer.report.material import Report
from inspect_fer.report.page import write_report

__all__ = ["FACELESS", "FIGURES", "FORMATS", "Report", "write_report"]

"""Audit: what is wrong with a published table."""

from inspect_fer.audit.published import TABLE_CHECKS, check_table, scores_of
from inspect_fer.audit.reading import read_table
from inspect_fer.audit.tables import ConfusionTable, Finding, ReportTable

__all__ = ["TABLE_CHECKS", "ConfusionTable", "Finding", "ReportTable", "check_table", "read_table", "scores_of"]

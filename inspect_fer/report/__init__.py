"""A run as one HTML page that opens from disk, with the network off."""

from inspect_fer.report.page import write_report

__all__ = ["write_report"]

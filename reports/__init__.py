"""Reports: load, compare, plot and print the results of runs."""

from reports.generate import build_report, build_reports, publish_latest, verdict_table
from reports.page import ReportPaths

__all__ = ["ReportPaths", "build_report", "build_reports", "publish_latest", "verdict_table"]

"""Load, compare, plot and print what runs have recorded."""

from reports.generate import build_report, publish_latest, verdict_table
from reports.page import ReportPaths

__all__ = ["ReportPaths", "build_report", "publish_latest", "verdict_table"]

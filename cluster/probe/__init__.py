"""The canary probe: plants words in one tenant and looks for them from another, through every surface."""

from cluster.probe.marks import Find, Report
from cluster.probe.planting import ProbeFailed, load_or_new, remove
from cluster.probe.run import Rows, probe

__all__ = ["Find", "ProbeFailed", "Report", "Rows", "load_or_new", "probe", "remove"]

"""What is told of runs: logs, statistics, plots, comparisons, and the files that they are written to.

Other rooms import this face: `from experiments import reports`, then `reports.files.write(...)`.
"""

from experiments.reports import comparison, files, plots, sinks, stats

__all__ = ["comparison", "files", "plots", "sinks", "stats"]

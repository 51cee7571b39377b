"""Speed beside other libraries: what is measured, each side's worker, and the page of results."""

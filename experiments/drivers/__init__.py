"""The loops around agents, in graph and on the host, the state of a run, and its layout over devices."""

"""Models of the world and planners: the task's own rules, learned dynamics and frames, tree search."""

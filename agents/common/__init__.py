"""What several agents share: optimisers, objectives, exploration, recurrence, and agents around agents."""

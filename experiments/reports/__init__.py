"""What a run tells: logs, statistics and plots."""

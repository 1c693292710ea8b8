"""Trials, backtests as jobs and rollouts."""

"""Restores and moves as data: targets, refusals, plan, forecast. Pure."""

"""Listeners to events: logs."""

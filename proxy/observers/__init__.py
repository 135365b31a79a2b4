"""Observers: they listen to events, and become logs, metrics and the live page."""

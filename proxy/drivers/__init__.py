"""Drivers perform the steps that an `Exchange` decides, and hold no opinions."""

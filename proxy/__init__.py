"""Unpinned: a stateless reverse proxy for the OpenAI Responses API."""

__version__ = "0.1.0"

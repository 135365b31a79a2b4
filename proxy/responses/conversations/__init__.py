"""Conversations that the store owns: what they hold, what is asked of them, and what is answered. Pure."""

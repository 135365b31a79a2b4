"""The listener: uvicorn, what it lets through, and how it drains."""

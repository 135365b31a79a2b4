"""What the JSON of the Responses API means.

Pure: nothing in this package performs I/O, reads a clock, logs, or knows asyncio.
"""

"""Letting other threads go on in the middle of long work. This module is never compiled: see `give_way`."""


def give_way() -> None:
    """Let another thread have the interpreter's lock, where one has waited for it for five milliseconds.

    The interpreter looks for that whenever it enters a function, and in every loop of its own. Compiled loops never do,
    so that they call this one. It takes 0.05 µs.
    """

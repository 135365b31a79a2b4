"""`python -m tests.soak --seconds 600`: long and mixed traffic through the proxy, everything accounted for.

Ends with 1 and a sentence where something was lost, invented, left open or kept.
"""

import argparse
import sys

from tests.soak.soaking import CLIENTS, GROWTH, MIB, soaked


def main() -> None:
    """Soak, and say what happened."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long (600)")
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"how many at a time ({CLIENTS})")
    parser.add_argument("--seed", type=int, default=1, help="what decides who does what (1)")
    parser.add_argument("--growth", type=int, default=GROWTH // MIB, help=f"MiB that may be kept ({GROWTH // MIB})")
    parser.add_argument("arguments", nargs="*", help="settings of the proxy, after `--`")
    chosen = parser.parse_args()
    books = soaked(chosen.seconds, chosen.seed, chosen.clients, chosen.growth * MIB, chosen.arguments)
    for name, count in sorted(books.counts.items()):
        sys.stdout.write(f"{count:9,}  {name}\n")
    megabytes = ", ".join(f"{each / MIB:.1f}" for each in books.resident)
    sys.stdout.write(
        f"{books.counts.total():9,}  requests, each accounted for; memory after each round: {megabytes} MiB\n"
    )


if __name__ == "__main__":
    main()

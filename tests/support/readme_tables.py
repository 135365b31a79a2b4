"""The tables of docs/settings.md and docs/metrics.md, made of the tables in the program that they describe."""

from proxy.observers.prometheus import FAMILIES
from proxy.settings.table import TABLE


def settings_table() -> str:
    """A row for each setting."""
    lines = ["| flag | variable | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{row.flag}` | `{row.variable}` | `{row.default}` | {row.meaning} |" for row in TABLE]
    return "\n".join(lines)


def metrics_table() -> str:
    """A row for each metric."""
    lines = ["| metric | labels | meaning |", "|---|---|---|"]
    for row in FAMILIES:
        labels = " ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{row.name}` | {labels} | {row.meaning} |")
    return "\n".join(lines)

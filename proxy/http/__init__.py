"""The words of HTTP: header fields, heads, codings, faults. It does not know what an item is."""

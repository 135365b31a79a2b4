"""The body of a request as JSON text whose bytes stay as they are."""

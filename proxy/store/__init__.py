"""What remembers responses: the seam, and the engines behind it."""

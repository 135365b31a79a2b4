"""The commands beside `serve`: each answers one question of an operator."""

"""A soak: everything at once, and a model that knows every byte that may be seen when."""

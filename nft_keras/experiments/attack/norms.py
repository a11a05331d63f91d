"""The norms that bound what an attack may change, and how a table writes them."""

NORMS = {"linf": "L∞", "l2": "L2"}

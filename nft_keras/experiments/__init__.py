"""Experiments: recipe (what to run) -> trial (one run of it) -> report (tables) and figures."""

"""Where examples come from: a module per family of data sets."""

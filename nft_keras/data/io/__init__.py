"""Downloads, caches, tables and prepared data sets on disk."""

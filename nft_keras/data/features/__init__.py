"""What makes inputs of a network out of the content of files."""

"""What the first pass over a clip found, as a file, and where it is kept."""

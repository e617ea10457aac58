"""Cell libraries: Liberty files, read."""

"""What all units are made from: bit fields, pipeline registers, interfaces, the hierarchy of modules."""

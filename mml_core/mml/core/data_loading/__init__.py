"""Reading tasks: paths, descriptions, structs, datasets."""

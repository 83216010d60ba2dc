"""Readers of images and labels in the forms people have them in; every reader returns a `Collection`."""

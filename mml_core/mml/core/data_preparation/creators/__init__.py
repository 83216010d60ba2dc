"""The creators that come with mml; importing this package registers them."""

from mml.core.data_preparation.creators import digits, fashion_mnist

__all__ = ["digits", "fashion_mnist"]

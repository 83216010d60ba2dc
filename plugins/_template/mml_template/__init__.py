"""A plugin of mml to copy from: how bright are the images of each class?"""

__version__ = "0.1.0"

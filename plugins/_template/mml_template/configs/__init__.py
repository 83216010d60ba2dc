"""Configuration that joins that of mml; the module makes the folder importable, as Hydra's `pkg://` wants it."""

"""The Hydra configuration tree of mml, found as `pkg://mml_configs`."""

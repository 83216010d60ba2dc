"""A plugin for the harness alone: a mode whose steps cost nothing and leave files of every kind."""

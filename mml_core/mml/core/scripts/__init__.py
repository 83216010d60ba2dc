"""Schedules: one module per mode, on top of the base scheduler."""

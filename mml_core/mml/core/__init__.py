"""The scheduler core: schedules, data, models."""

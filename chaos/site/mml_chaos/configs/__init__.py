"""The configuration of the plugin."""

"""How tasks come into being."""

"""The mode `contract`, which only the tests of runners know."""

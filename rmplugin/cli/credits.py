"""Commands for credits and deliveries."""

commands = ()

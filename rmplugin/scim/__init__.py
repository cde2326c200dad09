"""The SCIM 2.0 server: identity providers push users to it, and the roster engine takes them in."""

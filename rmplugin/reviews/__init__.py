"""The matchmaking review: pairs fail again and again, so somebody looks over how they are matched."""

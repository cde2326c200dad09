"""What makes people sign up: answers to their concerns, readiness, the launch, the funnel and its forecast."""

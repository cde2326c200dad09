"""What makes people sign up: answers to their concerns, the launch, the funnel and its forecast."""

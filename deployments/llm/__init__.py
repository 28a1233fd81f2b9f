"""Language models: the router that plans, its policy and breakers, and the engines."""

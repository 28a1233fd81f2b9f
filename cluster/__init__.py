"""The wiring: the application graph, the `loquent` command, embedded servers and the demo tenant."""

"""Pure types and rules of the platform: standard library and pydantic only, no input or output."""

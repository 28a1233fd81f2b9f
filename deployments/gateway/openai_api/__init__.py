"""Chatbots as models of the OpenAI API, so that any of its client libraries talks to them."""

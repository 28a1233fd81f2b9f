"""Engines behind one Protocol: vLLM, llama.cpp, providers over HTTP, and a scripted twin for tests."""

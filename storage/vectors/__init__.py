"""Vectors and full text of every chatbot in LanceDB: one table per chatbot under its tenant's path."""

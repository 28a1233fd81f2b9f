"""What a model is told beside the question: templates, examples, and what is remembered of the conversation."""

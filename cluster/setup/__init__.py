"""Installation of everything into `.venv`, before anything else can be imported."""

"""What is checked on the way in, in what was retrieved and on the way out: pure checks and the chain that runs them."""

"""Circuit breakers and the load of targets."""

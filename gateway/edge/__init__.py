"""The front door for model clients: endpoints, keys, bodies. No ORM."""

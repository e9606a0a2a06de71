"""Background work next to the requests: services, stall monitor, offloading."""

"""Work beside the requests on the event loop: services, stall monitor, offloading."""

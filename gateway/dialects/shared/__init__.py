"""What two or more wire formats share."""

"""What the desk does: the day, a booking's history, sheets and exports."""

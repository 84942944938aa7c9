"""What the desk works with: the dashboard, a booking's history, day sheets and exports."""

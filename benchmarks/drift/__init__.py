"""False alarms and power of the drift verdict on dependent pictures."""

"""What people read: status, the page of the loop, approval pages."""

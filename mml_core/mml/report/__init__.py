"""What people get to see: tables, later plots and pages."""

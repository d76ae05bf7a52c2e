"""From each form that the tables have had to the newest one."""

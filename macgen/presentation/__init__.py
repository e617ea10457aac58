"""Records as people look at them: tables and plots."""
